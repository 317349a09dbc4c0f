//! Our end of a call: a user agent that repeats a sentence and keeps what it hears.

use crate::authority::Authority;
use denwa::Seed;
use denwa::evidence::Cause;
use denwa::media::{self, IceConfig, Identity, PlayOut};
use denwa::tokio::{DriverConfig, SignallingDriver, Tls};
use denwa::ua::{Account, Attendant, Attended, CallId, Command, Event, Told, UserAgent, UserAgentConfig};
use denwa_interop::hearing::Sentence;
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability, Ice, MediaCapability, RtcpMux};
use denwa_sip_core::Protocol;
use denwa_sip_core::config::Listener;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How media are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    Plain,
    Sdes,
    Dtls,
}

/// What our end can do.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) codecs: Vec<Codec>,
    pub(crate) security: Security,
    pub(crate) ice: Option<Ice>,
    pub(crate) rtcp_mux: RtcpMux,
    /// Everything on one port, with feedback, as browsers want it.
    pub(crate) for_browsers: bool,
}

impl Means {
    pub(crate) fn capability(&self, identity: &Identity) -> Capability {
        let mut capability = if self.for_browsers {
            let media = MediaCapability { feedback: true, ..MediaCapability::audio(self.codecs.clone()) };
            Capability::new([media])
        } else {
            Capability::telephone(self.codecs.clone())
        };
        match self.security {
            Security::Plain => {}
            Security::Sdes => {
                capability = capability.with_encryption(EncryptionCapability::sdes(Encryption::Required));
            }
            Security::Dtls => {
                let dtls = EncryptionCapability::dtls(Encryption::Required, identity.fingerprint());
                capability = capability.with_encryption(dtls);
            }
        }
        if let Some(ice) = self.ice {
            capability = capability.with_ice(ice);
        }
        capability.bundle = self.for_browsers;
        capability.rtcp_mux = self.rtcp_mux;
        capability
    }
}

/// Sits at the user agent: answers, repeats its sentence, keeps what it hears.
struct Speaker {
    sentence: Vec<i16>,
    said: BTreeMap<CallId, usize>,
    heard: Arc<Mutex<BTreeMap<CallId, Vec<i16>>>>,
    told: VecDeque<Told<Event>>,
}

impl Attendant for Speaker {
    type Command = Command;
    type Event = Event;

    fn handle_event(&mut self, agent: &mut UserAgent, event: Event, now: Instant) {
        match &event {
            // Whoever gives up at once is gone already.
            Event::Incoming { call, .. } => drop(agent.answer(*call, now)),
            Event::Sound { call, samples } => {
                let said = self.said.entry(*call).or_default();
                let next: Vec<i16> = (*said..*said + samples.len())
                    .map(|place| self.sentence[place % self.sentence.len()])
                    .collect();
                *said += samples.len();
                // Before an agreement nobody listens.
                let _ = agent.say(*call, &next);
                self.heard.lock().unwrap().entry(*call).or_default().extend(samples);
                return;
            }
            _ => {}
        }
        let is_last = matches!(event, Event::ShutDown);
        self.told.push_back(Told::Event(event));
        if is_last {
            self.told.push_back(Told::Stop);
        }
    }

    fn handle_command(&mut self, agent: &mut UserAgent, command: Command, now: Instant) {
        denwa::driver::Machine::handle_command(agent, command, now);
    }

    fn poll_event(&mut self) -> Option<Told<Event>> {
        self.told.pop_front()
    }
}

pub(crate) struct Ours {
    driver: SignallingDriver<Command>,
    told: mpsc::Receiver<Event>,
    /// In each call.
    heard: Arc<Mutex<BTreeMap<CallId, Vec<i16>>>>,
    /// Everything told so far.
    pub(crate) events: Vec<Event>,
}

impl Ours {
    /// Listens on loopback by each transport, and answers whoever calls.
    pub(crate) fn start(means: &Means, authority: &Authority, sentence: &[i16]) -> Self {
        let listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "wss:127.0.0.1:0"];
        let mut config = DriverConfig::new(listen.map(|text| text.parse().unwrap()).to_vec());
        config.tls = Some(Tls::new(&authority.tls(&["127.0.0.1"])).unwrap());
        config.media = None;
        let identity = Identity::generate().unwrap();
        let capability = means.capability(&identity);
        let ice = means.ice.map(|kind| {
            let mut ice = if kind == Ice::Lite { IceConfig::lite() } else { IceConfig::default() };
            ice.address = Some([127, 0, 0, 1].into());
            ice
        });
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        let speaker = Speaker {
            sentence: sentence.to_vec(),
            said: BTreeMap::new(),
            heard: Arc::clone(&heard),
            told: VecDeque::new(),
        };
        let (tell, told) = mpsc::channel();
        let driver = SignallingDriver::start(
            config,
            move |listening, now| {
                let listeners =
                    listening.iter().map(|place| Listener::new(place.protocol, place.address)).collect();
                let mut config = UserAgentConfig::new(listeners);
                config.capability = capability;
                config.play_out = PlayOut::Fixed(Duration::from_millis(100));
                config.since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                config.ice = ice;
                config.identity = Some(identity);
                let seed = Seed(denwa::tokio::entropy().unwrap());
                let mut agent = UserAgent::new(config, seed, now);
                agent.add_account(Account::new("denwa", "127.0.0.1"));
                Attended::new(agent, speaker)
            },
            move |event| drop(tell.send(event)),
        )
        .unwrap();
        Self { driver, told, heard, events: Vec::new() }
    }

    pub(crate) fn address(&self, protocol: Protocol) -> SocketAddr {
        self.driver.listening().iter().find(|place| place.protocol == protocol).unwrap().address
    }

    /// As others call it.
    pub(crate) fn uri(&self, protocol: Protocol) -> String {
        let transport = protocol.via_token().to_ascii_lowercase();
        format!("sip:denwa@{};transport={transport}", self.address(protocol))
    }

    pub(crate) fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut UserAgent, Instant) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::channel();
        let command = Command::new(move |agent, now| drop(tell.send(act(agent, now))));
        self.driver.handle().command(command).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn call(&self, to: String) -> CallId {
        self.act(move |agent, now| {
            let account = agent.add_account(Account::new("denwa", "127.0.0.1"));
            agent.call(account, &to, now).unwrap()
        })
    }

    /// Waits for an event of which `what` makes something; those that came before count too, once.
    pub(crate) fn expect<T>(&mut self, label: &str, mut what: impl FnMut(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.told.recv_timeout(left) else {
                panic!("{label}: what is waited for did not happen, but {:#?}", self.brief())
            };
            let found = what(&event);
            self.events.push(event);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Until a call is up, from here or from there.
    pub(crate) fn until_up(&mut self, label: &str) -> CallId {
        self.expect(label, |event| match event {
            Event::Answered { call } => Some(Ok(*call)),
            Event::Ended { reason, .. } => Some(Err(reason.to_string())),
            _ => None,
        })
        .unwrap_or_else(|reason| panic!("{label}: {reason}"))
    }

    pub(crate) fn until_media<T>(
        &mut self,
        label: &str,
        mut what: impl FnMut(&media::Event) -> Option<T>,
    ) -> T {
        self.expect(label, |event| match event {
            Event::Media { event, .. } => what(event),
            _ => None,
        })
    }

    /// The keys that come next.
    pub(crate) fn until_keys(&mut self, label: &str, count: usize) -> String {
        (0..count)
            .map(|_| {
                self.until_media(label, |event| match event {
                    media::Event::Digit { digit, .. } => Some(*digit),
                    _ => None,
                })
            })
            .collect()
    }

    /// Until the whole of a sentence was heard from now on.
    pub(crate) fn until_heard(&self, label: &str, sentence: Sentence<'_>) {
        self.heard.lock().unwrap().clear();
        sentence.wait_in(label, || self.heard_lately());
    }

    pub(crate) fn until_hears(&self, label: &str, what: impl Fn(&[i16]) -> bool) {
        self.heard.lock().unwrap().clear();
        let hears = || what(&self.heard_lately());
        assert!(denwa_interop::wait_until(PATIENCE, hears), "{label}: not heard");
    }

    /// What was heard in the newest call.
    fn heard_lately(&self) -> Vec<i16> {
        self.heard.lock().unwrap().last_key_value().map(|(_, heard)| heard.clone()).unwrap_or_default()
    }

    /// Ends everything; each call must have ended without anything to find fault with.
    pub(crate) fn stop(self, label: &str) {
        self.stop_after(label, |_| {});
    }

    /// The same, and what the media told meanwhile is looked at.
    pub(crate) fn stop_after(mut self, label: &str, look: impl FnOnce(&[&media::Event])) {
        self.act(|agent, now| agent.shut_down(now));
        self.expect(label, |event| matches!(event, Event::ShutDown).then_some(()));
        let media = self.events.iter().filter_map(|event| match event {
            Event::Media { event, .. } => Some(event),
            _ => None,
        });
        look(&media.collect::<Vec<_>>());
        for event in &self.events {
            if let Event::Ended { evidence, .. } = event {
                // What a busy machine lost on its own loopback is no fault of either end.
                let found = evidence.findings().into_iter().filter(|found| found.cause != Cause::PacketLoss);
                let found: Vec<String> = found.map(|found| found.to_string()).collect();
                assert!(found.is_empty(), "{label}: {found:#?}");
            }
        }
        let _ = self.driver.join();
    }

    pub(crate) fn brief(&self) -> Vec<String> {
        let words = |event: &Event| match event {
            Event::Ended { reason, evidence, .. } => {
                let facts: Vec<String> = evidence.facts().map(|dated| dated.fact.to_string()).collect();
                format!("ended: {reason} {facts:#?}")
            }
            other => format!("{other:?}"),
        };
        self.events.iter().map(words).collect()
    }
}
