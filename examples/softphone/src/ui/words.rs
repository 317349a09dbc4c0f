//! Everything the screen says, in both languages, in one table.

/// A language of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// The language of a locale such as `ja_JP.UTF-8`; English for every other.
    pub fn of_locale(locale: &str) -> Self {
        if locale.starts_with("ja") { Self::Japanese } else { Self::English }
    }

    /// The one of two that is in this language.
    pub fn pick<T>(self, english: T, japanese: T) -> T {
        match self {
            Self::English => english,
            Self::Japanese => japanese,
        }
    }
}

macro_rules! words {
    ($($name:ident: $english:literal, $japanese:literal;)+) => {
        /// The words of a language.
        #[derive(Clone, Copy, Debug)]
        pub struct Words {
            $(#[doc = $english] pub $name: &'static str,)+
        }

        impl Words {
            /// Those of this language.
            pub const fn of(language: Language) -> &'static Self {
                match language {
                    Language::English => &Self { $($name: $english,)+ },
                    Language::Japanese => &Self { $($name: $japanese,)+ },
                }
            }

            #[cfg(test)]
            fn all(&self) -> Vec<&'static str> {
                vec![$(self.$name,)+]
            }
        }
    };
}

words! {
    title: "Denwa telephone", "でんわ 電話機";
    accounts: "Accounts", "アカウント";
    calls: "Calls", "通話";
    past_calls: "Past calls", "通話履歴";
    line_quality: "Sound", "音声";
    happened: "What happened", "お知らせ";
    dial: "Dial", "ダイヤル";
    messages: "Messages", "メッセージ";
    keypad: "Keys", "プッシュ";
    transfer: "Transfer to", "転送先";
    message_to: "Message to", "メッセージの宛先";
    message_text: "Message", "本文";
    no_calls: "No calls. Type a number and press Enter.", "通話はありません。番号を入力して Enter を押してください。";
    no_past_calls: "none yet", "まだありません";
    no_messages: "No messages yet.", "メッセージはありません。";
    registering: "registering", "登録中";
    registered: "registered", "登録済み";
    not_registered: "not registered", "未登録";
    calling: "calling", "発信中";
    ringing: "ringing there", "呼出中";
    incoming: "incoming", "着信";
    answering: "answering", "応答中";
    talking: "talking", "通話中";
    held_here: "held by you", "保留中";
    held_there: "held by them", "相手が保留";
    held_both: "held by both", "双方保留";
    conference: "conference", "会議";
    muted: "muted", "消音";
    incoming_call: "Incoming call", "着信";
    for_account: "for", "宛先";
    answer: "answer", "応答";
    decline: "decline", "拒否";
    hang_up: "hang up", "切断";
    card_waits: "Esc: leave this first, then Enter answers", "Esc: 今の操作をやめてから Enter で応答";
    missed: "missed", "不在";
    do_not_disturb: "DO NOT DISTURB", "着信拒否中";
    voice_mail: "voice mail", "留守電";
    new_messages: "new messages", "新着";
    said: "you", "自分";
    heard: "them", "相手";
    loss: "loss", "損失";
    jitter: "jitter", "揺らぎ";
    delay: "delay", "遅延";
    no_sound_yet: "no sound yet", "音声はまだありません";
    not_encrypted: "not encrypted", "暗号化なし";
    sent: "sent", "送信済み";
    sending: "sending", "送信中";
    not_sent: "not sent", "送信失敗";
    key_help: "Help", "ヘルプ";
    key_hold: "Hold", "保留";
    key_resume: "Resume", "再開";
    key_swap: "Swap", "切替";
    key_transfer: "Transfer", "転送";
    key_mute: "Mute", "消音";
    key_keypad: "Keys", "プッシュ";
    key_join: "Join", "会議";
    key_messages: "Messages", "文字";
    key_disturb: "DND", "拒否";
    key_quit: "Quit", "終了";
    key_back: "back", "戻る";
    key_send: "send", "送信";
    key_write: "write", "作成";
    key_call: "call", "発信";
    transfer_blind: "Enter: send the call there.", "Enter: そのまま転送します。";
    transfer_attended: "Enter alone: join with the other call.", "空のまま Enter: もう一方の通話とつなぎます。";
    keypad_help: "Every key is sent at once.", "押したキーはすぐに送られます。";
    quit_question: "Calls are up. Enter: end them and quit. Esc: stay.", "通話中です。Enter: 切断して終了。Esc: 戻る。";
    too_small: "The window is too small: 60 × 20 is needed.", "画面が小さすぎます: 60 × 20 以上が必要です。";
    help_dial: "0-9 * # a-z   write a number or an address; up, down: numbers dialled before", "0-9 * # a-z   番号やアドレスを入力。上下: 以前の番号";
    help_enter: "Enter         call what is written, or answer the call that comes in", "Enter         発信、または着信に応答";
    help_escape: "Esc           clear the line; decline or hang up the marked call", "Esc           入力を消す。着信を拒否、通話を切る";
    help_tab: "Tab           mark the next call", "Tab           次の通話を選ぶ";
    help_hold: "F2            hold, or resume", "F2            保留、再開";
    help_swap: "F3            swap: hold this call, resume the other", "F3            切替: 今の通話を保留し、別の通話へ";
    help_transfer: "F4            transfer: to a number, or to the other call", "F4            転送: 番号へ、または別の通話へ";
    help_mute: "F5            mute the microphone", "F5            マイクを消音";
    help_keypad: "F6            press keys in the call (DTMF)", "F6            通話中にプッシュ信号を送る";
    help_join: "F7            join all calls in a conference; again: leave it", "F7            全通話を会議にする。もう一度: 解除";
    help_messages: "F8            read and write messages", "F8            メッセージを読む、書く";
    help_disturb: "F9            do not disturb; Ctrl-A: next account", "F9            着信拒否。Ctrl-A: 次のアカウント";
    help_quit: "F10, Ctrl-C   quit", "F10, Ctrl-C   終了";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_everything() {
        let (english, japanese) = (Words::of(Language::English).all(), Words::of(Language::Japanese).all());
        for (english, japanese) in english.iter().zip(&japanese) {
            assert!(!english.is_empty() && !japanese.is_empty());
            assert!(english.is_ascii() || english.contains('×'), "{english}");
            assert!(!japanese.is_ascii(), "{english}: {japanese}");
        }
        assert_eq!(Language::of_locale("ja_JP.UTF-8"), Language::Japanese);
        assert_eq!(Language::of_locale("C"), Language::English);
    }
}
