//! The terminal: keys in, pictures out, and left as it was found whatever happens.
//!
//! A guard process watches the one that draws: should that one be killed, the guard restores the terminal; should the guard
//! be killed, the other notices and leaves in good order. A panic restores the terminal before it says its words.

use crate::desk::{Desk, DeskAccount};
use crate::identity;
use crate::sound::Sound;
use crate::ui::{
    AccountRow, AccountState, Action, CallState, Key, Language, Model, News, history::History, view,
};
use crossterm::event::{self, Event as TerminalEvent, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use denwa::Seed;
use denwa::tokio::{
    DriverConfig, DriverHandle, Listen, Listening, SignallingDriver, Tls, entropy, on_interrupt_or_hang_up,
};
use denwa::ua::{UserAgent, UserAgentConfig};
use denwa_sip_core::Protocol;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the terminal is opened with.
pub struct Opening {
    /// The language.
    pub language: Language,
    /// Who we are, with the address as it is shown.
    pub accounts: Vec<(DeskAccount, String)>,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// The transports of the accounts.
    pub transports: Vec<Protocol>,
    /// Whom TLS believes; `None` are the system's authorities.
    pub tls: Option<Tls>,
    /// Everything else of the user agent; its listeners are filled in.
    pub configure: Box<dyn FnOnce(&mut UserAgentConfig) + Send>,
    /// Microphone and loudspeaker; made on the telephone's thread.
    pub sound: Box<dyn FnOnce() -> Box<dyn Sound> + Send>,
    /// Where numbers that were dialled are kept.
    pub history: Option<PathBuf>,
    /// Whether no account has a server: then where the telephone listens is shown.
    pub accounts_are_direct: bool,
}

enum Wake {
    News(News),
    Key(Key),
    Resized,
    /// The process is to end.
    End,
    /// The telephone's thread has ended.
    Gone,
}

/// How long the telephone may take to hang up and withdraw its registrations at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Whether there is a terminal.
///
/// # Errors
/// The sentence that says that there is none.
pub fn require() -> Result<(), String> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    Err("there is no terminal here: `softphone --help` tells what can be done without one".to_owned())
}

/// Runs the telephone on this terminal until it is quit.
///
/// # Errors
/// One sentence.
pub fn open(opening: Opening) -> Result<(), String> {
    require()?;
    let (wake, woken) = mpsc::channel();
    let history = opening.history.as_deref().map(History::read).unwrap_or_default();
    let rows = opening.accounts.iter().map(|(account, address)| AccountRow {
        address: address.clone(),
        state: if account.registers { AccountState::Registering } else { AccountState::Direct },
        waiting: (0, 0),
    });
    let mut model = Model::new(opening.language, rows.collect());
    model.history = history;
    let (direct, language) = (opening.accounts_are_direct, opening.language);
    let kept = opening.history.clone();
    let driver = start(opening, &wake)?;
    if direct {
        // Whoever has no server is called directly, and has to say where.
        let listening: Vec<String> = driver.listening().iter().map(ToString::to_string).collect();
        model.notice = Some(crate::ui::Notice::of(format!(
            "{} {}",
            language.pick("listening on", "待受:"),
            listening.join(", ")
        )));
    }
    let handle = driver.handle();
    let screen = Screen::enter().map_err(|error| format!("the terminal cannot be used: {error}"))?;
    read_keys(wake.clone());
    end_on_signals(wake);
    let outcome = show(&mut model, &woken, &handle);
    drop(screen);
    if let Some(path) = &kept
        && let Err(error) = model.history.write(path)
    {
        eprintln!("softphone: {} cannot be written: {error}", path.display());
    }
    let _ = handle.command(Action::Quit);
    farewell(&woken);
    outcome.map_err(|error| format!("the terminal fails: {error}"))
}

fn start(opening: Opening, wake: &Sender<Wake>) -> Result<SignallingDriver<Action>, String> {
    let Opening { language, accounts, listen, transports, tls, configure, sound, .. } = opening;
    let seed = entropy().map_err(|error| format!("the system gives no entropy: {error}"))?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let accounts: Vec<DeskAccount> = accounts.into_iter().map(|(account, _)| account).collect();
    let make = move |listening: &[Listening], now: Instant| {
        let mut config = UserAgentConfig::new(identity::listeners(listening, &transports));
        config.since_1970 = since_1970;
        config.software = Some(concat!("Denwa softphone/", env!("CARGO_PKG_VERSION")).to_owned());
        configure(&mut config);
        Desk::new(UserAgent::new(config, Seed(seed), now), accounts, sound(), language, now)
    };
    let mut config = DriverConfig::new(listen);
    (config.media, config.tls) = (None, tls);
    let ended = EndTeller(wake.clone());
    SignallingDriver::start(config, make, move |news| drop(ended.0.send(Wake::News(news))))
        .map_err(|error| error.to_string())
}

/// Tells that the telephone's thread is gone when it is dropped with it, by a panic too.
struct EndTeller(Sender<Wake>);

impl Drop for EndTeller {
    fn drop(&mut self) {
        let _ = self.0.send(Wake::Gone);
    }
}

/// Shows pictures until the end.
fn show(model: &mut Model, woken: &Receiver<Wake>, handle: &DriverHandle<Action>) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let began = Instant::now();
    let mut bell_at = began;
    tick(model, began);
    loop {
        terminal.draw(|frame| view::draw(model, frame))?;
        let wake = match woken.recv_timeout(Duration::from_millis(250)) {
            Ok(wake) => Some(wake),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        tick(model, began);
        // Whatever has gathered is one picture.
        for wake in wake.into_iter().chain(woken.try_iter()) {
            let actions = match wake {
                Wake::News(news) => model.news(news),
                Wake::Key(key) => model.key(key),
                Wake::Resized => Vec::new(),
                Wake::End | Wake::Gone => return Ok(()),
            };
            for action in actions {
                if action == Action::Quit {
                    return Ok(());
                }
                if handle.command(action).is_err() {
                    return Ok(());
                }
            }
        }
        let rings = model.calls.iter().any(|call| call.state == CallState::Incoming);
        if rings && bell_at <= Instant::now() {
            bell_at = Instant::now() + Duration::from_secs(3);
            io::stdout().write_all(b"\x07")?;
        }
        if guard_is_gone() {
            return Ok(());
        }
    }
}

fn tick(model: &mut Model, began: Instant) {
    let _ = model.news(News::Tick { uptime: began.elapsed(), clock: wall_clock() });
}

/// `12:34`, by the time zone of the system.
fn wall_clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let minutes = now.saturating_add_signed(crate::zone::offset_seconds(now)) / 60;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}

fn read_keys(wake: Sender<Wake>) {
    let read = move || {
        while let Ok(event) = event::read() {
            let news = match event {
                TerminalEvent::Key(key) if key.kind != KeyEventKind::Release => {
                    match translated(key.code, key.modifiers) {
                        Some(key) => Wake::Key(key),
                        None => continue,
                    }
                }
                TerminalEvent::Resize(..) => Wake::Resized,
                _ => continue,
            };
            if wake.send(news).is_err() {
                return;
            }
        }
        // The terminal has gone away.
        let _ = wake.send(Wake::End);
    };
    // Without keys nothing can be done: the telephone shows and ends with its signals.
    let _ = std::thread::Builder::new().name("softphone-keys".to_owned()).spawn(read);
}

fn translated(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        KeyCode::Char(letter) if modifiers.contains(KeyModifiers::CONTROL) => Key::Control(letter),
        // For terminals that keep the function keys to themselves.
        KeyCode::Char(digit @ '0'..='9') if modifiers.contains(KeyModifiers::ALT) => {
            Key::Function(digit.to_digit(10).map_or(10, |digit| if digit == 0 { 10 } else { digit as u8 }))
        }
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::F(number) => Key::Function(number),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        _ => return None,
    })
}

fn end_on_signals(wake: Sender<Wake>) {
    // Without signals the system ends the process; the guard restores the terminal.
    let _ = on_interrupt_or_hang_up(move || drop(wake.send(Wake::End)));
}

fn farewell(woken: &Receiver<Wake>) {
    let until = Instant::now() + FAREWELL;
    while let Ok(wake) = woken.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if matches!(wake, Wake::Gone) {
            return;
        }
    }
}

/// The other screen, in raw mode, for as long as this lives.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            leave_screen();
            told(panic);
        }));
        enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave_screen();
    }
}

fn leave_screen() {
    // What fails here fails because there is no terminal any more.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
}

// ---- the guard

/// Set for the process that draws: the number of the one that guards it.
const GUARDED: &str = "SOFTPHONE_GUARDED_BY";

/// Whether this process is the one that draws.
pub fn is_guarded() -> bool {
    std::env::var_os(GUARDED).is_some()
}

#[cfg(unix)]
fn guard_is_gone() -> bool {
    let guard = std::env::var(GUARDED).ok().and_then(|text| text.parse::<u32>().ok());
    guard.is_some_and(|guard| guard != std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn guard_is_gone() -> bool {
    false
}

/// Runs this program once more, guarded: the terminal is restored when it is killed. Its exit code.
///
/// # Errors
/// It cannot be started.
#[cfg(unix)]
pub fn guard() -> io::Result<u8> {
    use std::os::unix::process::ExitStatusExt;
    let stdin = io::stdin();
    let before = rustix::termios::tcgetattr(&stdin).ok();
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(GUARDED, std::process::id().to_string())
        // Libraries of sound systems write there, across the picture.
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    let said = child.stderr.take().map(last_words);
    let status = child.wait()?;
    if status.signal().is_some() {
        if let Some(before) = before {
            let _ = rustix::termios::tcsetattr(&stdin, rustix::termios::OptionalActions::Now, &before);
        }
        execute!(io::stdout(), LeaveAlternateScreen, cursor::Show)?;
        eprintln!("softphone: it was killed; its calls have ended without a word");
    }
    if let Some(said) = said.and_then(|reader| reader.join().ok()).filter(|_| !status.success()) {
        io::stderr().write_all(&said)?;
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Collects what a process says besides its picture: the last of it.
#[cfg(unix)]
fn last_words(mut from: std::process::ChildStderr) -> std::thread::JoinHandle<Vec<u8>> {
    use std::io::Read;
    const MOST: usize = 16_384;
    std::thread::spawn(move || {
        let (mut all, mut piece) = (Vec::new(), [0; 1024]);
        while let Ok(length @ 1..) = from.read(&mut piece) {
            all.extend_from_slice(piece.get(..length).unwrap_or(&[]));
            let surplus = all.len().saturating_sub(MOST);
            all.drain(..surplus);
        }
        all
    })
}

/// Runs this program once more. Without signals there is nothing to guard against.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn guard() -> io::Result<u8> {
    Ok(0)
}
