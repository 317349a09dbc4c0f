//! What went wrong, and what to do about it, in the language of the screen.
//!
//! [`denwa::evidence`] names causes with sentences in English; here each has its Japanese words, with the addresses and
//! numbers of the case taken from the facts that show it. What comes from a peer or from the system stays in its own words.

use crate::sound::{Part, Trouble};
use crate::ui::Language;
use denwa::evidence::{Cause, Fact, Finding, MessageHead, Party, SecurityFailure, Unreached};
use denwa::ua::{Ending, Misuse};

/// The sentence and the remedy of a finding.
pub fn finding(finding: &Finding, language: Language) -> (String, String) {
    match (language, japanese(finding)) {
        (Language::Japanese, Some((sentence, remedy))) => (sentence, remedy.to_owned()),
        _ => (finding.sentence.clone(), finding.remedy.clone()),
    }
}

/// How a call ended.
pub fn ending(ending: &Ending, language: Language) -> String {
    if language == Language::English {
        return ending.to_string();
    }
    match ending {
        Ending::HungUpHere => "こちらから切断しました".to_owned(),
        Ending::HungUpThere => "相手が切断しました".to_owned(),
        Ending::CancelledHere => "応答の前に取りやめました".to_owned(),
        Ending::CancelledThere => "相手が呼び出しをやめました".to_owned(),
        Ending::Refused { status, words } => format!("拒否されました: {} {words}", status.code()),
        Ending::RefusedHere(status) => format!("こちらで拒否しました ({})", status.code()),
        Ending::NotAnswered => "応答がありませんでした".to_owned(),
        Ending::NothingInCommon(sentence) => format!("共通の通信方式がありません: {sentence}"),
        Ending::NotAuthenticated => "パスワードが認められませんでした".to_owned(),
        Ending::Unreachable(why) => format!("つながりません: {why}"),
        Ending::NoPort(why) => format!("音声用のポートが開けません: {why}"),
        Ending::TakenOver => "別の通話に引き継がれました".to_owned(),
        Ending::NotConfirmed => "切れました: 応答の確認 (ACK) が届きませんでした".to_owned(),
        Ending::SessionExpired => "切れました: セッションタイマーが満了しました".to_owned(),
        Ending::Lost(why) => format!("切れました: {why}"),
        Ending::ShutDown => "終了しました".to_owned(),
        other => other.to_string(),
    }
}

/// Why something could not be done.
pub fn misuse(misuse: &Misuse, language: Language) -> String {
    if language == Language::English {
        return misuse.to_string();
    }
    match misuse {
        Misuse::UnknownAccount => "そのアカウントはありません".to_owned(),
        Misuse::UnknownCall => "その通話はありません".to_owned(),
        Misuse::NotNow => "今はできません".to_owned(),
        Misuse::BadAddress(why) => format!("発信できるアドレスではありません: {why}"),
        Misuse::TooLong => "本文が長すぎます (1300 オクテットまで)".to_owned(),
        Misuse::TooManyCalls => "これ以上の通話はできません".to_owned(),
        other => other.to_string(),
    }
}

/// What became of a device.
pub fn trouble(trouble: &Trouble, language: Language) -> String {
    let (Trouble::Missing(part, _) | Trouble::Gone(part, _) | Trouble::Back(part)) = trouble else {
        let words = (
            "This telephone is deaf and dumb: it was built without sound devices. Build it with `--features sound`, or try it with `--sound tone`.",
            "この電話機は音声の装置なしで作られているため、話すことも聞くこともできません。`--features sound` を付けて作るか、`--sound tone` で試してください。",
        );
        return language.pick(words.0, words.1).to_owned();
    };
    let name = match part {
        Part::Microphone => language.pick("microphone", "マイク"),
        Part::Loudspeaker => language.pick("loudspeaker", "スピーカー"),
        Part::Bell => language.pick("bell", "着信用の装置"),
    };
    match (trouble, language) {
        (Trouble::Missing(_, why), Language::English) => format!("There is no {name}: {why}."),
        (Trouble::Missing(_, why), Language::Japanese) => format!("{name}がありません: {why}"),
        (Trouble::Gone(_, why), Language::English) => {
            format!("The {name} has gone away: {why}. It is looked for again.")
        }
        (Trouble::Gone(_, why), Language::Japanese) => {
            format!("{name}がなくなりました: {why}。もう一度探しています。")
        }
        (Trouble::Back(_) | Trouble::Unbuilt, Language::English) => format!("The {name} is there again."),
        (Trouble::Back(_) | Trouble::Unbuilt, Language::Japanese) => format!("{name}が戻りました。"),
    }
}

type Explained = (String, &'static str);

/// The Japanese words of a finding; `None` for a cause that has none yet.
fn japanese(finding: &Finding) -> Option<Explained> {
    let facts = Facts(finding);
    Some(match finding.cause {
        Cause::NoReply | Cause::NobodyListens => facts.unreached(),
        Cause::NameUnknown => (
            format!("{} という名前のアドレスが見つかりません。", facts.name()),
            "つづりと、ネームサーバーが応答することを確かめてください。",
        ),
        Cause::Busy => (facts.refused(), "あとでもう一度かけてください。"),
        Cause::Declined => (facts.refused(), "相手、または相手側の規則が通話を断りました。"),
        Cause::UnknownNumber => (facts.refused(), "番号と、その番号への経路を確かめてください。"),
        Cause::NotRegistered => {
            (facts.refused(), "相手の電話機の電源が切れているか、未登録か、着信を拒否しています。")
        }
        Cause::RefusedByPeer => (
            facts.refused(),
            "アカウントと、かけてよい相手を確かめてください。詳しくは相手側の記録にあります。",
        ),
        Cause::NotAnswered => ("相手は応答しませんでした。".to_owned(), "相手が不在なら問題はありません。"),
        Cause::WrongPassword => (
            format!("アカウント {} が認められません。名前かパスワードが違います。", facts.account()),
            "ユーザー名、パスワード、レルムを、発行されたものと比べてください。",
        ),
        Cause::UnknownAccount => (
            format!("アカウントがありません: {}", facts.refused()),
            "ユーザー名とドメインを、発行されたものと比べてください。",
        ),
        Cause::NoCommonCodec => (
            facts.mismatch("音声の符号化方式"),
            "どちらか一方で、相手の持つコーデックを一つ使えるようにしてください。",
        ),
        Cause::TranscoderMissing => (
            "二つの通話のコーデックを変換できません。".to_owned(),
            "両方で使えるコーデックを許してください。",
        ),
        Cause::EncryptionOneSided => {
            (facts.mismatch("暗号化"), "SRTP を両側で有効にするか、両側で無効にしてください。")
        }
        Cause::WrongKeys => facts.keys(),
        other => return japanese_of_media(other, &facts).or_else(|| japanese_of_limits(other, &facts)),
    })
}

/// Calls that came about, and sound that did not.
fn japanese_of_media(cause: Cause, facts: &Facts<'_>) -> Option<Explained> {
    const PORTS: &str = "両側のファイアウォールで音声用のポート (UDP) を開けてください。";
    Some(match cause {
        Cause::RenamingVpn => (
            format!(
                "相手の名乗るアドレス {} と、届くアドレスが違います。VPN がアドレスを付け替えています。",
                facts.described()
            ),
            "音声を相手の見えているアドレスへ送り、相手にはこちらの見え方を伝えてください。",
        ),
        Cause::PeerBehindNat => (
            format!(
                "相手はルーター (NAT) の内側のアドレス {} を伝えており、音声が一つも届きません。",
                facts.described()
            ),
            "相手側で STUN か ICE を使うか、中継する機器で音声を受ける設定にしてください。",
        ),
        Cause::ExternalAddressWrong => (
            "こちらの外向きのアドレスが、相手から届くものではありません。".to_owned(),
            "外向きのアドレスの設定を、今の回線のものに直してください。",
        ),
        Cause::LocalNetworkForgotten => (
            "同じ網の相手に外向きのアドレスを伝えたか、その逆です。".to_owned(),
            "内側の網として、相手の網を設定に加えてください。",
        ),
        Cause::MediaBlocked => match facts.tried() {
            Some(tried) => (
                format!("ICE で音声の通る経路が見つかりませんでした ({tried})。"),
                "ファイアウォールで UDP を通すか、両側から届く TURN サーバーを設定してください。",
            ),
            None => (format!("呼び出しは通りますが、音声が一つも届きません{}。", facts.sent()), PORTS),
        },
        Cause::MediaBlockedOneWay => ("音声が片方向にしか通りません。".to_owned(), PORTS),
        Cause::PeerFellSilent => (
            format!("相手の音声が途中で止まりました{}。", facts.silence()),
            "相手の回線が切れたか、電話機が止まったか、消音して何も送っていません。",
        ),
        Cause::PortsOutsideSet => (
            "ルーターがポートを付け替えるため、伝えた音声用のポートに外から届きません。".to_owned(),
            "ルーターに割り当てられたポート (MAP-E ならその組) だけを音声に使ってください。",
        ),
        Cause::HeldForever => (
            "通話が保留されたまま、解除されませんでした。".to_owned(),
            "保留した電話機で再開してください。転送の後なら、失敗した re-INVITE を探してください。",
        ),
        Cause::FormatNotAgreed => (
            "相手は、取り決めのないコーデックで音声を送っています。".to_owned(),
            "相手の電話機のコーデックを、実際に送るものだけにしてください。",
        ),
        Cause::PacketLoss => (
            format!("相手の音声の{}が途中で失われました。", facts.loss()),
            "途中の回線を見てください。無線や混んだ回線はパケットを失います。",
        ),
        _ => return None,
    })
}

/// Timers, limits, and what stands between.
fn japanese_of_limits(cause: Cause, facts: &Facts<'_>) -> Option<Explained> {
    Some(match cause {
        Cause::Alg => (
            "途中の機器が SIP のメッセージを書き換えています。".to_owned(),
            "ルーターの SIP ALG を切るか、TCP や TLS、5060 以外のポートを使ってください。",
        ),
        Cause::AckLost => (
            "応答の確認 (ACK) が届かなかったため、通話を終えました。".to_owned(),
            "こちらの Contact が相手から届くアドレスか、相手からの見え方と比べてください。",
        ),
        Cause::SessionExpired => (
            "通話の更新 (セッションタイマー) が間に合いませんでした。".to_owned(),
            "途中の機器 (ルーターの変換表など) が、どちらかへの道を忘れた可能性があります。",
        ),
        Cause::CallLost => (
            "通話の途中で、相手が応答しなくなったか、通話を知らなくなりました。".to_owned(),
            "相手が再起動したか、相手の回線が変わったか切れた可能性があります。",
        ),
        Cause::PortsExhausted => (
            "音声用のポートが開けません。".to_owned(),
            "音声に使うポートを増やすか、ほかの利用を止めてください。",
        ),
        Cause::LimitReached => {
            (format!("上限に達しました{}。", facts.limit()), "必要なら上限を上げてください。")
        }
        Cause::TurnedAway => (
            "送信元が締め出されています。".to_owned(),
            "必要な相手なら、締め出しを解くか、締め出さない網に加えてください。",
        ),
        Cause::NotListed => (
            "送信元のアドレスかトランスポートが、許可の一覧にありません。".to_owned(),
            "一覧に加えるか、一覧にあるアドレスとトランスポートから送ってください。",
        ),
        Cause::PinNeeded => (
            "この番号は、暗証番号を入れないと外へかけられません。".to_owned(),
            "暗証番号を入れられる電話機からかけてください。間違えすぎたら一時間待ってください。",
        ),
        Cause::CallerNotSigned => (
            format!("発信者の署名 (RFC 8224) がありません: {}", facts.refused()),
            "相手の信頼する鍵で発信者に署名してください。番号非通知の通話も同じです。",
        ),
        Cause::SignatureWrong => (
            format!("発信者の署名が認められません: {}", facts.refused()),
            "公開鍵とその URL が双方で同じか、双方の時計が合っているか確かめてください。",
        ),
        Cause::TollLimit => (
            "外への通話の制限 (禁止番号、時間帯、回数、分数) に達しました。".to_owned(),
            "必要な通話なら制限を緩めてください。覚えがなければ不正利用を疑い、発信者を調べてください。",
        ),
        Cause::CallerBlocked => (
            "この発信者は着信拒否の一覧にあります。".to_owned(),
            "かかってきてよい相手なら、一覧から外してください。",
        ),
        Cause::RuleBroken => (
            "相手の応答が規格に合わず、通話が成り立ちません。".to_owned(),
            "相手の機器のソフトウェアと設定、途中でメッセージを変える機器を調べてください。",
        ),
        Cause::Unreadable => (
            "届いたものが SIP として読めません。".to_owned(),
            "送り主と、途中でメッセージを切ったり変えたりする機器を調べてください。",
        ),
        _ => return None,
    })
}

/// The facts that a finding rests on.
struct Facts<'a>(&'a Finding);

impl Facts<'_> {
    fn find<T>(&self, pick: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        self.0.shown_by.iter().rev().find_map(|dated| pick(&dated.fact))
    }

    fn unreached(&self) -> Explained {
        const CHECK: &str =
            "相手のアドレス、ポート、トランスポートと、途中のファイアウォールを確かめてください。";
        let words = self.find(|fact| match fact {
            Fact::Unanswered { method, to, protocol, waited } => Some((
                format!(
                    "{to} ({protocol}) への {method} に {} 秒間まったく応答がありません。",
                    waited.as_secs()
                ),
                CHECK,
            )),
            Fact::Unreached { to, protocol, why } => Some(match why {
                Unreached::Refused => (
                    format!("{to} ({protocol}) では何も待ち受けていません。"),
                    "ポートとトランスポート、相手のプログラムが動いていることを確かめてください。",
                ),
                Unreached::NoRoute => (
                    format!("{to} への経路がありません。"),
                    "回線と、そのアドレスの属する VPN を確かめてください。",
                ),
                Unreached::TimedOut => (format!("{to} への {protocol} の接続に応答がありません。"), CHECK),
                Unreached::Closed => (
                    format!("{to} は応答せずに {protocol} の接続を閉じました。"),
                    "相手側の記録で理由を調べてください。",
                ),
                Unreached::CertificateNotTrusted => (
                    format!("{to} の証明書を信頼できません。発行者が登録されていないか、期限が切れています。"),
                    "発行者(自己署名ならその証明書そのもの)を信頼するか、期限切れなら更新してもらってください。",
                ),
                Unreached::CertificateOfAnother => (
                    format!("{to} の証明書は、発信した先とは別の名前のものです。"),
                    "証明書にある名前で発信するか、この名前の証明書を作ってもらってください。",
                ),
                other => (
                    format!("{to} へ {protocol} で送れません: {other}"),
                    "アドレスとトランスポートを確かめてください。",
                ),
            }),
            _ => None,
        });
        words.unwrap_or_else(|| ("相手から応答がありません。".to_owned(), CHECK))
    }

    fn refused(&self) -> String {
        let head = self.find(|fact| match fact {
            Fact::Received(MessageHead { status: Some(status), reason, method, .. }) if *status >= 300 => {
                Some((*status, reason.clone(), method == "REGISTER"))
            }
            _ => None,
        });
        match head {
            Some((status, reason, true)) => format!("登録が拒否されました: {status} {reason}"),
            Some((status, reason, false)) => format!("相手が通話を拒否しました: {status} {reason}"),
            None => "通話が拒否されました。".to_owned(),
        }
    }

    fn account(&self) -> String {
        self.find(|fact| match fact {
            Fact::CredentialsRefused { account, .. } => Some(account.clone()),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn name(&self) -> String {
        self.find(|fact| match fact {
            Fact::Unresolved { name } => Some(name.clone()),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn mismatch(&self, of: &str) -> String {
        let lists = self.find(|fact| match fact {
            Fact::Mismatched { offered_by, offered, supported, .. } => {
                let (offered, supported) = (offered.join(", "), supported.join(", "));
                Some(match offered_by {
                    Party::Here => (offered, supported),
                    Party::Peer => (supported, offered),
                })
            }
            _ => None,
        });
        match lists {
            Some((ours, theirs)) => format!("{of}が合いません。こちら: {ours}、相手: {theirs}。"),
            None => format!("{of}が合いません。{}", self.refused()),
        }
    }

    fn keys(&self) -> Explained {
        let failure = self.find(|fact| match fact {
            Fact::SecurityFailed(failure) => Some(*failure),
            _ => None,
        });
        match failure {
            Some(SecurityFailure::HandshakeFailed) => (
                "DTLS による鍵の取り決めが終わりませんでした。".to_owned(),
                "音声のアドレスの間で UDP が両方向に通ることを確かめてください。",
            ),
            Some(SecurityFailure::WrongFingerprint) => (
                "DTLS の証明書が、通知されたものと違います。".to_owned(),
                "途中で暗号化を終わらせているものがあります。それが何かを確かめてください。",
            ),
            _ => (
                "音声が、取り決めと違う鍵で暗号化されています。".to_owned(),
                "鍵を変えた re-INVITE が守られているか調べ、続くなら電話機を再起動してください。",
            ),
        }
    }

    fn described(&self) -> String {
        self.find(|fact| match fact {
            Fact::Described { by: Party::Peer, description } => description.address.map(|at| at.to_string()),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn tried(&self) -> Option<String> {
        self.find(|fact| match fact {
            Fact::NoPath { tried } => Some(tried.clone()),
            _ => None,
        })
    }

    fn sent(&self) -> String {
        self.find(|fact| match fact {
            Fact::Counters(counters) => Some(format!(" (送信 {} パケット、受信 0)", counters.sent)),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn silence(&self) -> String {
        self.find(|fact| match fact {
            Fact::Silent { lasted } => Some(format!(" ({} 秒間無音)", lasted.as_secs())),
            _ => None,
        })
        .unwrap_or_default()
    }

    fn loss(&self) -> String {
        self.find(|fact| match fact {
            Fact::Counters(counters) => {
                let all = counters.received.saturating_add(counters.lost).max(1);
                Some(format!(" {:.0} % ", counters.lost as f64 / all as f64 * 100.0))
            }
            _ => None,
        })
        .unwrap_or_else(|| "多く".to_owned())
    }

    fn limit(&self) -> String {
        self.find(|fact| match fact {
            Fact::LimitReached { which } => Some(format!(" ({which})")),
            _ => None,
        })
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use denwa::evidence::{Disagreement, EndCause, Evidence, Side};
    use std::time::{Duration, Instant};

    fn findings(facts: Vec<Fact>) -> Vec<Finding> {
        let now = Instant::now();
        let mut evidence = Evidence::new("a call", 64, now);
        for fact in facts {
            evidence.add(Some(Side::FIRST), fact, now);
        }
        evidence.findings()
    }

    #[test]
    fn causes_have_japanese_words_with_the_numbers_of_the_case() {
        let to = "192.0.2.1:5060".parse().unwrap();
        let unanswered = Fact::Unanswered {
            method: "REGISTER".into(),
            to,
            protocol: "UDP".into(),
            waited: Duration::from_secs(32),
        };
        let refused = |status: u16, reason: &str| {
            let head = MessageHead {
                method: "INVITE".into(),
                status: Some(status),
                reason: reason.into(),
                ..MessageHead::default()
            };
            vec![Fact::Received(head), Fact::Ended { by: Party::Peer, cause: EndCause::Refused(status) }]
        };
        let mismatched = Fact::Mismatched {
            offered_by: Party::Here,
            offered: vec!["PCMA".into()],
            supported: vec!["opus".into()],
            about: Disagreement::Codec,
            rule: "no common codec".into(),
        };
        for (facts, words) in [
            (vec![unanswered], "192.0.2.1:5060 (UDP) への REGISTER に 32 秒間"),
            (vec![Fact::Unresolved { name: "nowhere.example".into() }], "nowhere.example という名前"),
            (refused(486, "Busy Here"), "486 Busy Here"),
            (refused(404, "Not Found"), "404 Not Found"),
            (vec![mismatched], "こちら: PCMA、相手: opus"),
            (
                vec![Fact::CredentialsRefused {
                    by: Party::Peer,
                    account: "1001".into(),
                    account_known: None,
                }],
                "アカウント 1001 が認められません",
            ),
        ] {
            let found = findings(facts);
            let (sentence, remedy) = finding(&found[0], Language::Japanese);
            assert!(sentence.contains(words), "{sentence}");
            assert!(!remedy.is_ascii(), "{remedy}");
            let (sentence, _) = finding(&found[0], Language::English);
            assert_eq!(sentence, found[0].sentence);
        }
    }

    #[test]
    fn every_cause_there_is_can_be_said_in_japanese() {
        for cause in Cause::ALL.iter().copied() {
            let bare = Finding {
                cause,
                confidence: denwa::evidence::Confidence::Likely,
                side: None,
                sentence: "English".into(),
                remedy: "English".into(),
                shown_by: Vec::new(),
            };
            let (sentence, remedy) = finding(&bare, Language::Japanese);
            assert!(!sentence.is_ascii() && !remedy.is_ascii(), "{cause:?}: {sentence} {remedy}");
        }
    }
}
