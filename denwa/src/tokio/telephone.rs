//! A user agent with everything it needs to run, in one call: for programs that want to telephone and nothing else.

use super::{DriverConfig, DriverHandle, Listen, Listening, SignallingDriver, StartError, Stopped, entropy};
use crate::Seed;
use crate::driver::Machine;
use crate::ua::{Attendant, Attended, Command, Event, Told, UserAgent, UserAgentConfig};
use denwa_sip_core::config::Listener;
use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A [`UserAgent`] that runs on a thread of its own, over real sockets.
///
/// ```no_run
/// use denwa::tokio::Telephone;
/// use denwa::ua::{Account, Event};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (telephone, events) = Telephone::start(&["udp:0.0.0.0:0".parse()?], |_| {})?;
/// let account = Account::new("200", "pbx.example").with_password("secret");
/// telephone.with(move |agent, now| {
///     let account = agent.add_account(account);
///     agent.call(account, "117", now)
/// })??;
/// for event in events {
///     match event {
///         Event::Sound { samples, .. } => println!("heard {} samples", samples.len()),
///         Event::Ended { reason, .. } => return Ok(println!("{reason}")),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Telephone {
    driver: SignallingDriver<Command>,
    handle: DriverHandle<Command>,
}

impl Telephone {
    /// Listens there, for instance on `udp:0.0.0.0:5060` or, where nobody calls in, `udp:0.0.0.0:0`; `adjust` changes what
    /// the user agent is made with. What happens comes out of the channel, in order, until [`Event::ShutDown`].
    ///
    /// # Errors
    /// Names the address that cannot be listened on.
    pub fn start(
        listen: &[Listen],
        adjust: impl FnOnce(&mut UserAgentConfig) + Send + 'static,
    ) -> Result<(Self, Receiver<Event>), StartError> {
        let mut config = DriverConfig::new(listen.to_vec());
        config.media = None;
        Self::start_with(config, adjust)
    }

    /// The same with a driver of the caller's making: certificates for TLS, limits, name servers.
    ///
    /// # Errors
    /// As [`Telephone::start`].
    pub fn start_with(
        config: DriverConfig,
        adjust: impl FnOnce(&mut UserAgentConfig) + Send + 'static,
    ) -> Result<(Self, Receiver<Event>), StartError> {
        let seed = Seed(entropy().map_err(StartError::Thread)?);
        let make = move |listening: &[Listening], now: Instant| {
            let listeners = listening.iter().map(|own| Listener::new(own.protocol, own.address)).collect();
            let mut config = UserAgentConfig::new(listeners);
            config.since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            adjust(&mut config);
            Attended::new(UserAgent::new(config, seed, now), Line::default())
        };
        let (tell, events) = mpsc::channel();
        // A program that no longer listens is told nothing.
        let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event)))?;
        let handle = driver.handle();
        Ok((Self { driver, handle }, events))
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        self.driver.listening()
    }

    /// Does something with the user agent, on its thread, and waits for the result.
    ///
    /// # Errors
    /// The telephone was shut down.
    pub fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut UserAgent, Instant) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (tell, told) = mpsc::sync_channel(1);
        self.handle.command(Command::new(move |agent, now| drop(tell.send(act(agent, now)))))?;
        told.recv().map_err(|_| Stopped)
    }

    /// A way to the user agent for other threads.
    #[must_use]
    pub fn handle(&self) -> DriverHandle<Command> {
        self.handle.clone()
    }

    /// Ends everything: hangs up, withdraws registrations, and waits until that is done.
    ///
    /// # Errors
    /// Its thread had ended before, by a fault.
    pub fn shut_down(self) -> Result<(), Stopped> {
        self.handle.command(Command::new(|agent, now| agent.shut_down(now)))?;
        self.driver.join()
    }
}

/// Passes everything on, and ends the driver when the user agent has shut down.
#[derive(Default)]
struct Line(VecDeque<Told<Event>>);

impl Attendant for Line {
    type Command = Command;
    type Event = Event;

    fn handle_event(&mut self, _: &mut UserAgent, event: Event, _: Instant) {
        let is_last = matches!(event, Event::ShutDown);
        self.0.push_back(Told::Event(event));
        if is_last {
            self.0.push_back(Told::Stop);
        }
    }

    fn handle_command(&mut self, agent: &mut UserAgent, command: Command, now: Instant) {
        agent.handle_command(command, now);
    }

    fn poll_event(&mut self) -> Option<Told<Event>> {
        self.0.pop_front()
    }
}
