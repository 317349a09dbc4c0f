//! The system's wish that the program end, brought to where it can be granted in good order.

use std::io;

/// Calls `act` each time the program is asked to end by an interrupt or by `SIGTERM`, on a thread of its own. Without an
/// error nothing ends the program any more but what `act` does.
///
/// # Errors
/// When the system gives no thread or no signals: then it goes on ending the program by itself.
pub fn on_interrupt(act: impl FnMut() + Send + 'static) -> io::Result<()> {
    listen(false, act)
}

/// The same, and when the terminal is closed (`SIGHUP`): for programs that are nothing without one.
///
/// # Errors
/// As [`on_interrupt`].
pub fn on_interrupt_or_hang_up(act: impl FnMut() + Send + 'static) -> io::Result<()> {
    listen(true, act)
}

fn listen(hang_up_too: bool, mut act: impl FnMut() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Registered here, so that none is missed from the moment this returns.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new(hang_up_too)?
    };
    let waiting = move || {
        while runtime.block_on(signals.next()) {
            act();
        }
    };
    std::thread::Builder::new().name("interrupts".to_owned()).spawn(waiting).map(drop)
}

#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn new(hang_up_too: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let count = if hang_up_too { 3 } else { 2 };
        kinds.into_iter().take(count).map(signal).collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// The next one; `false` when none will come.
    async fn next(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            let mut all_closed = true;
            for signal in &mut self.0 {
                match signal.poll_recv(cx) {
                    std::task::Poll::Ready(Some(())) => return std::task::Poll::Ready(true),
                    std::task::Poll::Ready(None) => {}
                    std::task::Poll::Pending => all_closed = false,
                }
            }
            if all_closed { std::task::Poll::Ready(false) } else { std::task::Poll::Pending }
        })
        .await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new(_: bool) -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}
