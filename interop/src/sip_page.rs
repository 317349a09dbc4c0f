//! A telephone in a page, by a library that people write theirs with: JsSIP or SIP.js, registered over a WebSocket. Chromium's
//! microphone is its voice.
//!
//! The page's `phone` is the same with both: `phone.call(number)`, `phone.answer()`, `phone.end()`; `phone.state` is `registered`,
//! `calling`, `ringing`, `rings`, `up` (both ends have said so), `over` or `failed`; `phone.stream` is what is heard, `phone.keys`
//! are the keys that came, `phone.why` says what went wrong.

use crate::chromium::Browser;
use crate::hearing::Sentence;
use crate::web::{self, Request};
use crate::{PATIENCE, baresip, jssip};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Whose library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// jssip.net
    JsSip,
    /// sipjs.com
    SipJs,
}

impl Library {
    /// Where it is installed; see [`web::modules`].
    #[must_use]
    pub fn modules(self) -> Option<PathBuf> {
        web::modules(match self {
            Self::JsSip => "jssip",
            Self::SipJs => "sip.js",
        })
    }
}

/// Whom it registers, and where.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// The address of the WebSocket: `wss://HOST:PORT`.
    pub socket: &'a str,
    /// The user part, which is also the authentication user.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

/// Serves the page.
///
/// # Panics
/// When the library is not whole.
#[must_use]
pub fn serve(library: Library, modules: PathBuf, account: &Account<'_>) -> SocketAddr {
    let Account { socket, user, password } = account;
    let account = json!({"socket": socket, "user": user, "password": password});
    let (kind, script, bundle) = match library {
        Library::JsSip => ("text/javascript", include_str!("sip_page/jssip.js"), jssip::script(&modules)),
        Library::SipJs => ("module", include_str!("sip_page/sipjs.js"), String::new()),
    };
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>telephone</title><script>const account = {account};</script>\n\
         <script src=/bundle.js></script><script type=\"{kind}\">{script}</script>"
    );
    web::serve(move |request: Request| {
        let path = request.parts().0.to_owned();
        match path.as_str() {
            "/" => request.respond("text/html", page.as_bytes()),
            "/bundle.js" => request.respond("text/javascript", bundle.as_bytes()),
            _ => match path.strip_prefix("/modules/").and_then(|path| std::fs::read(modules.join(path)).ok())
            {
                Some(module) => request.respond("text/javascript", &module),
                None => request.respond("text/plain", b""),
            },
        }
    })
}

/// Opens the page, and waits until it is registered. It says `says` over and over.
///
/// # Panics
/// When it is not.
#[must_use]
pub fn open(page: SocketAddr, folder: &std::path::Path, says: &[i16]) -> Browser {
    let mut browser = Browser::open(&format!("http://{page}/"), folder, says);
    browser.wait_for("window.phone?.state === 'registered'", "window.phone?.state + ' ' + window.phone?.why");
    browser
}

/// The page calls the telephone, which lifts by itself and has a voice for minutes, and then the telephone calls the page; in each
/// call each hears the other's sentence. `over` waits until whoever is between them has seen the end of so many calls.
///
/// # Panics
/// When anything of it does not come about.
pub fn call_each_other(
    browser: &mut Browser,
    phone: &baresip::Phone,
    (number, page): (&str, &str),
    (page_says, phone_says): (&[i16], &[i16]),
    mut over: impl FnMut(usize),
) {
    const STATE: &str = "phone.state + ' ' + phone.why";
    let both_hear = |browser: &mut Browser, label: &str| {
        browser.wait_for("phone.state === 'up' && phone.stream", STATE);
        browser.record("phone.stream");
        let (of_page, of_phone) = (Sentence::plain(page_says), Sentence::plain(phone_says));
        of_phone.wait_in_sound(&format!("{label}: the page hears"), page_says, || browser.heard());
        let hears = || phone.newest_recording().1;
        of_page.wait_in_sound(&format!("{label}: the telephone hears"), phone_says, hears);
    };
    browser.evaluate(&format!("phone.call('{number}'); 0"));
    both_hear(browser, "the page calls");
    browser.evaluate("phone.end(); 0");
    phone.peer.wait_for("terminated", PATIENCE);
    over(1);

    phone.dial(page);
    browser.wait_for("phone.state === 'rings'", STATE);
    browser.evaluate("phone.answer(); 0");
    both_hear(browser, "the telephone calls");
    phone.hang_up();
    browser.wait_for("phone.state === 'over'", STATE);
    over(2);
}
