//! The screen as a pure machine: news and keys in, pictures and actions out. The pictures are those of `docs/softphone/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod picture;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use softphone::ui::{
    AccountRow, AccountState, Action, CallNumber, Card, Key, Language, Mode, Model, News, Notice, Path,
    Quality, Words, view,
};
use std::time::Duration;

const ANN: CallNumber = CallNumber(1);
const BOB: CallNumber = CallNumber(2);

fn model(language: Language) -> Model {
    let row = |address: &str| AccountRow {
        address: address.into(),
        state: AccountState::Registering,
        waiting: (0, 0),
    };
    let mut model = Model::new(language, vec![row("1001@pbx.example"), row("2525@club.example")]);
    tick(&mut model, 0);
    model
}

fn tick(model: &mut Model, seconds: u64) {
    assert_eq!(model.news(News::Tick { uptime: Duration::from_secs(seconds), clock: "12:34".into() }), []);
}

fn card() -> Card {
    Card {
        from: "sip:0390200@pbx.example".into(),
        name: Some("山田 花子".into()),
        to: "sip:1001@pbx.example".into(),
    }
}

fn typed(model: &mut Model, text: &str) {
    for letter in text.chars() {
        assert_eq!(model.key(Key::Char(letter)), []);
    }
}

/// The picture, as a terminal of this size has it.
fn shown(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(model, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let mut text = String::new();
    for y in 0..height {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += unicode_width::UnicodeWidthStr::width(symbol).max(1) as u16;
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn lines_with(model: &Model, what: &str) -> Vec<String> {
    shown(model, 80, 24).lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

/// Two calls, the first held, figures and a path.
fn busy(language: Language) -> Model {
    let mut model = model(language);
    model.news(News::Account { account: 0, state: AccountState::Registered });
    model
        .news(News::Account { account: 1, state: AccountState::Failed("the password was not taken".into()) });
    model.news(News::Waiting { account: 0, new: 3, old: 1 });
    model.news(News::Calling { call: ANN, peer: "200".into() });
    model.news(News::Up { call: ANN });
    model.news(News::Hold { call: ANN, here: true, there: false });
    tick(&mut model, 42);
    model.news(News::Calling { call: BOB, peer: "sip:bob@192.0.2.7".into() });
    model.news(News::Up { call: BOB });
    tick(&mut model, 65);
    let security = Some("SRTP (SDES)".into());
    let path = Path { codec: "G722/8000".into(), security, from: "192.0.2.7:40002".into() };
    model.news(News::Path { call: BOB, path });
    let quality = Quality {
        loss: 0.004,
        jitter: Duration::from_millis(3),
        round_trip: Some(Duration::from_millis(28)),
        mos: Some(4.3),
    };
    model.news(News::Quality { call: BOB, quality });
    model.news(News::Levels { said: -20.0, heard: -12.0 });
    model.news(News::Message {
        from: "sip:carol@pbx.example".into(), text: "明日の会議は10時です".into()
    });
    model.news(News::Ended { call: CallNumber(9), how: "unknown".into(), notice: None });
    model
}

fn incoming(language: Language) -> Model {
    let mut model = busy(language);
    model.news(News::Incoming { call: CallNumber(3), card: card() });
    model
}

#[test]
fn every_picture_is_as_it_is_kept() {
    let failed = |language| {
        let mut model = busy(language);
        let notice = Notice {
            what: "0510 0390 200: refused: 488 Not Acceptable Here.".into(),
            cause: Some("The two sides have no codec in common: opus was offered, PCMU is supported.".into()),
            remedy: Some("Add PCMU to this account's codecs.".into()),
        };
        model.news(News::Ended { call: BOB, how: String::new(), notice: Some(notice) });
        model
    };
    let empty = |language| {
        let mut model = model(language);
        typed(&mut model, "0390200");
        model
    };
    let help = |language| {
        let mut model = model(language);
        model.key(Key::Function(1));
        model
    };
    let messages = |language| {
        let mut model = busy(language);
        model.key(Key::Function(8));
        model
    };
    for (language, suffix) in [(Language::English, "en"), (Language::Japanese, "ja")] {
        for (name, model) in [
            ("start", empty(language)),
            ("calls", busy(language)),
            ("incoming", incoming(language)),
            ("failed", failed(language)),
            ("messages", messages(language)),
            ("help", help(language)),
        ] {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal.draw(|frame| view::draw(&model, frame)).unwrap();
            picture::compare(&format!("{name}-{suffix}"), &picture::of_buffer(terminal.backend().buffer()));
        }
    }
}

#[test]
fn everything_is_in_its_place() {
    let model = incoming(Language::English);
    assert_eq!(lines_with(&model, "MOS 4.3").len(), 1);
    assert!(lines_with(&model, "SRTP (SDES)  192.0.2.7:40002").len() == 1, "{}", shown(&model, 80, 24));
    assert!(lines_with(&model, "voice mail 3").len() == 2 && lines_with(&model, "new messages 1").len() == 1);
    assert!(lines_with(&model, "✕ 2525@club.example  not registered: the password was not taken").len() == 1);
    assert!(lines_with(&model, "山田 花子").len() == 2 && lines_with(&model, "Enter  answer").len() == 1);
    // Any size is drawn, from nothing on.
    for (width, height) in [(1, 1), (20, 5), (60, 20), (79, 23), (200, 60)] {
        shown(&model, width, height);
    }
    assert!(shown(&model, 40, 10).contains("The window is too small"));
    let japanese = busy(Language::Japanese);
    assert!(lines_with(&japanese, "保留中").len() == 1 && lines_with(&japanese, "留守電 3").len() == 2);
}

#[test]
fn a_number_is_dialled_and_found_again() {
    let mut model = model(Language::English);
    typed(&mut model, "20");
    model.key(Key::Left);
    typed(&mut model, "0");
    let call = Action::Call { account: 0, address: "200".into() };
    assert_eq!(model.key(Key::Enter), [call]);
    assert_eq!(model.key(Key::Enter), [], "an empty line calls nobody");
    assert_eq!(model.key(Key::Up), []);
    assert_eq!(model.line.text(), "200");
    model.key(Key::Escape);
    assert!(model.line.is_empty());
    // From the other account.
    model.key(Key::Control('a'));
    typed(&mut model, "117");
    assert_eq!(model.key(Key::Enter), [Action::Call { account: 1, address: "117".into() }]);
    assert_eq!(model.news(News::Calling { call: ANN, peer: "117".into() }), [Action::Select(Some(ANN))]);
    assert_eq!(model.key(Key::Escape), [Action::HangUp(ANN)]);
    assert_eq!(
        model.news(News::Ended { call: ANN, how: "given up before an answer".into(), notice: None }),
        [Action::Select(None)]
    );
    assert_eq!(model.notice.as_ref().unwrap().what, "117: given up before an answer");
    assert!(lines_with(&model, "→ 117").len() == 1);
}

#[test]
fn a_second_call_puts_the_first_on_hold_and_they_are_swapped() {
    let mut model = model(Language::English);
    model.news(News::Calling { call: ANN, peer: "200".into() });
    model.news(News::Up { call: ANN });
    model.news(News::Incoming { call: BOB, card: card() });
    assert_eq!(model.selected, Some(ANN), "who rings does not take the line");
    assert_eq!(model.key(Key::Enter), [Action::Hold(ANN), Action::Answer(BOB), Action::Select(Some(BOB))]);
    model.news(News::Hold { call: ANN, here: true, there: false });
    model.news(News::Up { call: BOB });
    assert_eq!(
        model.key(Key::Function(3)),
        [Action::Hold(BOB), Action::Resume(ANN), Action::Select(Some(ANN))]
    );
    model.news(News::Hold { call: BOB, here: true, there: false });
    model.news(News::Hold { call: ANN, here: false, there: false });
    assert_eq!(model.key(Key::Function(2)), [Action::Hold(ANN)]);
    model.news(News::Hold { call: ANN, here: true, there: false });
    assert_eq!(model.key(Key::Function(2)), [Action::Resume(ANN), Action::Select(Some(ANN))]);
    model.news(News::Hold { call: ANN, here: false, there: false });
    // What is left is marked, still on hold.
    assert_eq!(
        model.news(News::Ended { call: ANN, how: "hung up here".into(), notice: None }),
        [Action::Select(Some(BOB))]
    );
    assert_eq!(model.selected, Some(BOB));
}

#[test]
fn calls_are_transferred_blindly_and_with_a_word_before() {
    let mut model = busy(Language::English);
    assert_eq!(model.key(Key::Function(4)), []);
    assert_eq!(model.mode, Mode::Transfer);
    assert!(lines_with(&model, "join with the other call").len() == 1);
    typed(&mut model, "300");
    assert_eq!(model.key(Key::Enter), [Action::Transfer { call: BOB, to: "300".into() }]);
    assert_eq!(model.mode, Mode::Dial);
    model.key(Key::Function(4));
    assert_eq!(model.key(Key::Enter), [Action::TransferTo { call: BOB, other: ANN }]);
    model.key(Key::Function(4));
    assert_eq!(model.key(Key::Escape), []);
    assert_eq!(model.mode, Mode::Dial);
}

#[test]
fn three_are_joined_and_parted() {
    let mut model = busy(Language::English);
    assert_eq!(model.key(Key::Function(7)), [Action::Resume(ANN), Action::Join(ANN), Action::Join(BOB)]);
    for call in [ANN, BOB] {
        model.news(News::Hold { call, here: false, there: false });
        model.news(News::Conference { call, member: true });
    }
    assert_eq!(lines_with(&model, "conference").len(), 2);
    assert_eq!(model.key(Key::Function(7)), [Action::Leave(ANN), Action::Leave(BOB), Action::Hold(ANN)]);
    // Alone nobody confers.
    let mut alone = self::model(Language::English);
    alone.news(News::Calling { call: ANN, peer: "200".into() });
    alone.news(News::Up { call: ANN });
    assert_eq!(alone.key(Key::Function(7)), []);
}

#[test]
fn keys_and_the_microphone() {
    let mut model = busy(Language::English);
    assert_eq!(model.key(Key::Function(5)), [Action::Mute { call: BOB, muted: true }]);
    model.news(News::Muted { call: BOB, muted: true });
    assert_eq!(lines_with(&model, "muted").len(), 1);
    assert_eq!(model.key(Key::Function(5)), [Action::Mute { call: BOB, muted: false }]);
    model.key(Key::Function(6));
    assert_eq!(model.key(Key::Char('5')), [Action::Press { call: BOB, digits: "5".into() }]);
    assert_eq!(model.key(Key::Char('#')), [Action::Press { call: BOB, digits: "#".into() }]);
    assert_eq!(model.key(Key::Char('x')), []);
    model.key(Key::Escape);
    assert!(model.mode == Mode::Dial && model.line.is_empty());
    model.news(News::Digit { call: BOB, digit: '7' });
    assert_eq!(lines_with(&model, "[7]").len(), 1);
    assert_eq!(model.key(Key::Tab), [Action::Select(Some(ANN))]);
}

#[test]
fn messages_are_read_and_written() {
    let mut model = busy(Language::English);
    assert_eq!(model.unread, 1);
    model.key(Key::Function(8));
    assert_eq!(model.unread, 0);
    assert!(lines_with(&model, "明日の会議は10時です").len() == 1);
    model.key(Key::Enter);
    assert_eq!(model.line.text(), "sip:bob@192.0.2.7");
    model.key(Key::Control('u'));
    typed(&mut model, "carol@pbx.example");
    model.key(Key::Enter);
    typed(&mut model, "はい");
    let sent = Action::Send { account: 0, to: "carol@pbx.example".into(), text: "はい".into() };
    assert_eq!(model.key(Key::Enter), [sent]);
    assert!(lines_with(&model, "はい  sending").len() == 1, "{}", shown(&model, 80, 24));
    model.news(News::MessageSent { message: 0, failed: None });
    assert!(lines_with(&model, "はい  sent").len() == 1);
    model.news(News::MessageSent { message: 0, failed: Some("404 Not Found".into()) });
    assert!(lines_with(&model, "not sent: 404 Not Found").len() == 1);
}

#[test]
fn who_is_not_to_be_disturbed_is_not() {
    let mut model = model(Language::English);
    assert_eq!(model.key(Key::Function(9)), [Action::DoNotDisturb(true)]);
    assert_eq!(lines_with(&model, "DO NOT DISTURB").len(), 1);
    assert_eq!(model.news(News::Incoming { call: ANN, card: card() }), [Action::Refuse(ANN)]);
    model.news(News::Ended { call: ANN, how: "refused here with 486".into(), notice: None });
    assert!(lines_with(&model, "missed").len() == 1);
    assert_eq!(model.key(Key::Function(9)), [Action::DoNotDisturb(false)]);
    model.news(News::Incoming { call: BOB, card: card() });
    assert_eq!(model.key(Key::Escape), [Action::Refuse(BOB)]);
}

#[test]
fn quitting_during_calls_is_asked_about() {
    let mut quiet = model(Language::English);
    assert_eq!(quiet.key(Key::Function(10)), [Action::Quit]);
    let mut model = busy(Language::English);
    assert_eq!(model.key(Key::Control('c')), []);
    assert!(lines_with(&model, "Calls are up").len() == 1);
    assert_eq!(model.key(Key::Escape), []);
    assert_eq!(model.mode, Mode::Dial);
    model.key(Key::Function(10));
    assert_eq!(model.key(Key::Enter), [Action::Quit]);
}

#[test]
fn whatever_comes_is_drawn() {
    // What peers say cannot break the picture, and late news of ended calls are nothing.
    let mut model = model(Language::English);
    let hostile = "\u{1b}[2J\r\n\u{202e}".repeat(100);
    let card = Card { from: hostile.clone(), name: Some(hostile.clone()), to: hostile.clone() };
    model.news(News::Incoming { call: ANN, card });
    model.news(News::Message { from: hostile.clone(), text: hostile.clone() });
    model.news(News::Notice(Notice::of(hostile)));
    assert!(!shown(&model, 80, 24).contains('\u{1b}'));
    model.key(Key::Function(8));
    assert!(!shown(&model, 80, 24).contains('\u{1b}'));
    for news in [News::Up { call: BOB }, News::Digit { call: BOB, digit: '1' }, News::Ringing { call: BOB }] {
        assert_eq!(model.news(news), []);
    }
}

#[test]
fn the_card_says_which_keys_are_its_own() {
    let mut model = busy(Language::English);
    model.key(Key::Function(8));
    model.news(News::Incoming { call: CallNumber(3), card: card() });
    assert_eq!(lines_with(&model, "Enter  answer").len(), 1);
    // What is being written goes first, and the card says so.
    model.key(Key::Escape);
    let mut model = busy(Language::English);
    for key in [Key::Function(8), Key::Enter, Key::Char('2'), Key::Enter, Key::Char('x')] {
        model.key(key);
    }
    model.news(News::Incoming { call: CallNumber(3), card: card() });
    assert_eq!(
        (lines_with(&model, "Enter  answer").len(), lines_with(&model, "leave this first").len()),
        (0, 1)
    );
    assert!(matches!(model.key(Key::Enter).as_slice(), [Action::Send { .. }]), "the message is sent");
    assert_eq!(lines_with(&model, "Enter  answer").len(), 1);
    assert!(model.key(Key::Enter).contains(&Action::Answer(CallNumber(3))));
    assert_eq!(model.mode, Mode::Dial, "and the call is seen");
}

#[test]
fn sixty_columns_are_enough() {
    for language in [Language::English, Language::Japanese] {
        let mut model = busy(language);
        let remedy =
            language.pick("Ask whoever keeps the other side. ", "相手側の管理者に確かめてください。");
        let remedy = format!("{}END", remedy.repeat(5));
        let notice = Notice { what: "200.".into(), cause: Some("Why.".into()), remedy: Some(remedy) };
        model.news(News::Notice(notice));
        model.news(News::Message { from: "sip:200@pbx".into(), text: format!("{}!END", "long ".repeat(40)) });
        let screen = shown(&model, 60, 20);
        let words = Words::of(language);
        assert!(screen.contains("END") && screen.contains("MOS 4.3"), "{screen}");
        let keys = screen.trim_end().lines().last().unwrap();
        assert!(keys.contains("F1") && keys.contains(&format!("F10{}", words.key_quit)), "{screen}");
        model.key(Key::Function(8));
        assert!(shown(&model, 60, 20).contains("!END"), "{}", shown(&model, 60, 20));
        model.key(Key::Escape);
        model.key(Key::Function(1));
        let help = shown(&model, 60, 20);
        assert!(
            help.contains("F10, Ctrl-C") && help.contains(words.help_dial.split_at(14).1.get(..3).unwrap())
        );
    }
}
