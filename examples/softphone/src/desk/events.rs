//! What the user agent tells, turned into news for the screen: in its language, with causes and remedies.

use super::Desk;
use crate::explain;
use crate::sound::Signal;
use crate::ui::{AccountState, CallNumber, Card, News, Notice, Path, Quality};
use denwa::driver::Output;
use denwa::evidence::{Evidence, Fact, MediaSecurity};
use denwa::media;
use denwa::ua::{AccountId, CallId, Ending, Event, MessageId};
use denwa_codecs::level::Level;
use std::time::Instant;

/// Levels are told once in so many frames of 20 ms.
const FRAMES_A_LEVEL: u32 = 5;

impl Desk {
    pub(super) fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Registered { account, .. } => self.tell_account(account, AccountState::Registered),
            Event::RegistrationFailed { account, why, evidence, .. } => {
                self.on_not_registered(account, why, &evidence);
            }
            Event::FlowLost { server, why, .. } => {
                let words = (
                    format!("One of several ways is lost, that by {}: {why}.", server.address),
                    format!(
                        "{} を通る経路が使えなくなりました。ほかの経路で登録されています: {why}",
                        server.address
                    ),
                );
                self.notice(self.language.pick(words.0, words.1));
            }
            Event::Unregistered { account } => self.tell_account(account, AccountState::Direct),
            Event::Incoming { call, from, name, to } => {
                let peer = name.clone().unwrap_or_else(|| from.clone());
                let number = self.number(call, &peer, true);
                self.tell(News::Incoming { call: number, card: Card { from, name, to } });
            }
            Event::Ringing { call, .. } => {
                if let Some(line) = self.calls.get(&call) {
                    let number = line.number;
                    self.tell(News::Ringing { call: number });
                    self.ring_back(call);
                }
            }
            Event::Redirected { to, .. } => {
                self.notice(
                    self.language.pick(format!("sent on to {to}"), format!("転送先へかけています: {to}")),
                );
            }
            Event::Answered { call } => self.on_answered(call),
            Event::Sound { call, samples } => self.on_sound(call, &samples),
            Event::ConferenceSound { samples } => self.on_conference_sound(&samples),
            Event::Media { call, event } => self.on_media(call, &event),
            Event::ChangeRefused { call, why } => self.on_change_refused(call, &why),
            Event::TransferProgress { status, .. } => {
                let status = format!("{} {}", status.code(), status.reason());
                self.notice(self.language.pick(format!("transfer: {status}"), format!("転送: {status}")));
            }
            Event::Transferred { .. } => {
                self.notice(self.language.pick("transferred", "転送しました").to_owned());
            }
            Event::TransferFailed { why, .. } => {
                let words = self.language.pick("not transferred", "転送できませんでした");
                self.notice(format!("{words}: {why}"));
            }
            Event::Transferring { new, to, .. } => {
                let number = self.number(new, &to, false);
                self.selected = Some(new);
                self.tell(News::Calling { call: number, peer: to.clone() });
                let words = (
                    format!("transferred by the other side to {to}"),
                    format!("相手により {to} へ転送されました"),
                );
                self.notice(self.language.pick(words.0, words.1));
            }
            Event::TakenOver { call, by } => {
                let peer = self.calls.get(&call).map(|line| line.peer.clone()).unwrap_or_default();
                if !self.calls.contains_key(&by) {
                    let number = self.number(by, &peer, true);
                    self.selected = Some(by);
                    self.tell(News::Calling { call: number, peer });
                }
                let words =
                    ("the other side handed the call to somebody else", "相手が通話を別の人に引き継ぎました");
                self.notice(self.language.pick(words.0, words.1).to_owned());
            }
            Event::MessagesWaiting { account, summary } => {
                if let Some(place) = self.accounts.iter().position(|own| *own == account) {
                    let (new, old) =
                        summary.voice.map_or((u32::from(summary.waiting), 0), |voice| (voice.new, voice.old));
                    self.tell(News::Waiting { account: place, new, old });
                }
            }
            Event::Message { from, text } => self.tell(News::Message { from, text }),
            Event::MessageDelivered { message } => self.on_message_sent(message, None),
            Event::MessageFailed { message, why } => self.on_message_sent(message, Some(why)),
            Event::Ended { call, reason, evidence, .. } => self.on_ended(call, &reason, &evidence),
            Event::ShutDown => self.outputs.push_back(Output::Stop),
            _ => {}
        }
        self.bell(now);
    }

    fn tell_account(&mut self, account: AccountId, state: AccountState) {
        if let Some(place) = self.accounts.iter().position(|own| *own == account) {
            self.tell(News::Account { account: place, state });
        }
    }

    fn on_answered(&mut self, call: CallId) {
        let Some(line) = self.calls.get_mut(&call) else { return };
        line.up = true;
        let number = line.number;
        self.tell(News::Up { call: number });
        self.tell_path(call);
    }

    /// 20 ms have passed in this call.
    fn on_sound(&mut self, call: CallId, samples: &[i16]) {
        let Some(line) = self.calls.get(&call) else { return };
        let mut said = vec![0; samples.len()];
        if self.selected == Some(call) && !line.held_here {
            self.sound.hear(samples);
            if line.up {
                self.sound.say(&mut said);
                self.tell_levels(&said, samples);
            }
        }
        // A call that ended meanwhile needs no sound.
        let _ = self.agent.say(call, &said);
    }

    fn on_conference_sound(&mut self, samples: &[i16]) {
        let mut said = vec![0; samples.len()];
        let muted = self.selected.and_then(|call| self.calls.get(&call)).is_some_and(|line| line.muted);
        if self.selected.and_then(|call| self.calls.get(&call)).is_some_and(|line| line.confers) {
            self.sound.hear(samples);
            self.sound.say(&mut said);
            self.tell_levels(&said, samples);
        }
        if muted {
            said.fill(0);
        }
        self.agent.say_to_conference(&said);
    }

    fn tell_levels(&mut self, said: &[i16], heard: &[i16]) {
        self.frames = self.frames.wrapping_add(1);
        if self.frames.is_multiple_of(FRAMES_A_LEVEL) {
            let level = |samples: &[i16]| (Level::of(samples).dbm0() as f32).max(-100.0);
            self.tell(News::Levels { said: level(said), heard: level(heard) });
        }
    }

    pub(super) fn tell_troubles(&mut self) {
        while let Some(trouble) = self.sound.trouble() {
            self.notice(explain::trouble(&trouble, self.language));
        }
    }

    fn on_media(&mut self, call: CallId, event: &media::Event) {
        let Some(line) = self.calls.get_mut(&call) else { return };
        let number = line.number;
        match event {
            media::Event::FirstPacket { from, .. } | media::Event::SourceMoved { to: from, .. } => {
                line.from = from.to_string();
                self.tell_path(call);
            }
            media::Event::PathChosen { path, relayed, .. } => {
                line.way = Some(format!("ICE{} {path}", if *relayed { " (TURN)" } else { "" }));
                self.tell_path(call);
            }
            media::Event::PathFailed { .. } | media::Event::PathLost => {
                let words = ("ICE has found no way for the sound", "ICE で音声の通る経路が見つかりません");
                self.notice(self.language.pick(words.0, words.1).to_owned());
            }
            media::Event::NotEncrypted { reason } => {
                let words = self.language.pick("no keys by DTLS", "DTLS で鍵を取り決められません");
                self.notice(format!("{words}: {reason}"));
            }
            media::Event::CodecChanged { .. } => self.tell_path(call),
            media::Event::DirectionChanged { sends, .. } => {
                line.held_there = !sends;
                self.tell_hold(number);
                self.tell_path(call);
            }
            media::Event::Digit { digit, .. } => self.tell(News::Digit { call: number, digit: *digit }),
            media::Event::Silent { lasted } => {
                let peer = line.peer.clone();
                let seconds = lasted.as_secs();
                let words = (
                    format!("{peer}: nothing has been heard for {seconds} s"),
                    format!("{peer}: {seconds} 秒間、音声が届いていません"),
                );
                self.notice(self.language.pick(words.0, words.1));
            }
            media::Event::Undeliverable { destination } => {
                let words = (
                    format!("sound is not taken at {destination}"),
                    format!("{destination} は音声を受け取りません"),
                );
                self.notice(self.language.pick(words.0, words.1));
            }
            _ => {}
        }
    }

    fn on_change_refused(&mut self, call: CallId, why: &str) {
        if let Some(line) = self.calls.get_mut(&call) {
            line.held_here = !line.held_here;
            let number = line.number;
            self.tell_hold(number);
        }
        let words = self.language.pick("the other side refused", "相手が拒否しました");
        self.notice(format!("{words}: {why}"));
    }

    fn on_message_sent(&mut self, message: MessageId, failed: Option<String>) {
        if let Some(number) = self.messages.remove(&message) {
            self.tell(News::MessageSent { message: number, failed });
        }
    }

    fn on_ended(&mut self, call: CallId, reason: &Ending, evidence: &Evidence) {
        let Some(line) = self.calls.remove(&call) else { return };
        if self.selected == Some(call) {
            self.selected = None;
        }
        let how = explain::ending(reason, self.language);
        // What was refused here is no fault of anybody's.
        let notice = match reason {
            Ending::RefusedHere(_) => None,
            _ => self.explained(format!("{}: {how}{}", line.peer, self.language.pick(".", "。")), evidence),
        };
        self.tell(News::Ended { call: line.number, how, notice });
    }

    fn on_not_registered(&mut self, account: AccountId, why: String, evidence: &Evidence) {
        let address = evidence.subject().to_owned();
        let words = self.language.pick("not registered", "登録できません");
        let notice = self.explained(format!("{address}: {words}{}", self.language.pick(".", "。")), evidence);
        // The screen's language says it where there is a finding.
        let cause = notice.as_ref().and_then(|notice| notice.cause.clone());
        let why = self.language.pick(None, cause).unwrap_or(why);
        self.tell_account(account, AccountState::Failed(why));
        if let Some(notice) = notice {
            self.tell(News::Notice(notice));
        }
    }

    /// What happened, with cause and remedy; `None` where the evidence shows none.
    fn explained(&self, what: String, evidence: &Evidence) -> Option<Notice> {
        let finding = evidence.findings().into_iter().next()?;
        let (cause, remedy) = explain::finding(&finding, self.language);
        Some(Notice { what, cause: Some(cause), remedy: Some(remedy) })
    }

    /// Which way the call's sound goes, from what is known of it.
    fn tell_path(&mut self, call: CallId) {
        let Some(line) = self.calls.get(&call) else { return };
        let agreed = self.agent.evidence(call).and_then(|evidence| {
            evidence.facts().rev().find_map(|dated| match &dated.fact {
                Fact::Agreed(agreement) => Some(agreement.clone()),
                _ => None,
            })
        });
        let Some(agreed) = agreed else { return };
        let path = Path {
            codec: agreed.codec,
            security: security(&agreed.security),
            from: line.way.clone().unwrap_or_else(|| line.from.clone()),
        };
        let number = line.number;
        self.tell(News::Path { call: number, path });
    }

    pub(super) fn tell_figures(&mut self) {
        let up: Vec<(CallId, CallNumber)> =
            self.calls.iter().filter(|(_, line)| line.up).map(|(id, line)| (*id, line.number)).collect();
        for (id, call) in up {
            let Some(report) = self.agent.report(id) else { continue };
            let counters = &report.counters;
            let all = counters.received.saturating_add(counters.lost);
            if all == 0 {
                continue;
            }
            let quality = Quality {
                loss: counters.lost as f32 / all as f32,
                jitter: counters.jitter,
                round_trip: counters.round_trip,
                mos: report.mos,
            };
            self.tell(News::Quality { call, quality });
        }
    }

    fn ring_back(&mut self, call: CallId) {
        if self.selected == Some(call) {
            self.set_signal(Some(Signal::RingBack));
        }
    }

    /// The signal that fits the calls there are.
    fn bell(&mut self, _now: Instant) {
        let talking = self.calls.values().any(|line| line.up && !line.held_here);
        let rings_here = self.calls.values().any(|line| line.incoming && !line.up);
        let waits_there = self.calls.values().any(|line| !line.incoming && !line.up);
        let signal = match (rings_here, talking) {
            (true, true) => Some(Signal::Waiting),
            (true, false) => Some(Signal::Bell),
            (false, _) => self.signal.filter(|signal| *signal == Signal::RingBack && waits_there),
        };
        self.set_signal(signal);
    }

    fn set_signal(&mut self, signal: Option<Signal>) {
        if signal != self.signal {
            self.signal = signal;
            self.sound.signal(signal);
        }
    }
}

fn security(security: &MediaSecurity) -> Option<String> {
    match security {
        MediaSecurity::Plain => None,
        MediaSecurity::Sdes => Some("SRTP (SDES)".to_owned()),
        MediaSecurity::Dtls => Some("SRTP (DTLS)".to_owned()),
        other => Some(format!("{other:?}")),
    }
}
