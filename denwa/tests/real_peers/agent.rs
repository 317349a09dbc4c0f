//! A user agent on a signalling driver of its own, which does in calls what it is told at the start.

use crate::authority::Authority;
use denwa::Seed;
use denwa::tokio::{DriverConfig, SignallingDriver, Tls};
use denwa::ua::{Account, AccountId, CallId, Command, Event, UserAgent, UserAgentConfig};
use denwa_sip_core::Protocol;
use denwa_sip_core::config::Listener;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Agent {
    driver: SignallingDriver<Command>,
    told: mpsc::Receiver<Event>,
    /// Incoming calls so far.
    had: Cell<usize>,
}

impl Agent {
    /// Listens on UDP, TCP and TLS of loopback, and answers whoever calls.
    pub(crate) fn start(authority: &Authority) -> Self {
        let listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"];
        let mut config = DriverConfig::new(listen.map(|text| text.parse().unwrap()).to_vec());
        config.tls = Some(Tls::new(&authority.tls(&["127.0.0.1"])).unwrap());
        let (tell, told) = mpsc::channel();
        let driver = SignallingDriver::start(
            config,
            |listening, now| {
                let listeners = listening
                    .iter()
                    .map(|listening| Listener::new(listening.protocol, listening.address))
                    .collect();
                let mut config = UserAgentConfig::new(listeners);
                config.calls_limit = 1000;
                // SIPp takes an OPTIONS for a call.
                config.asks_how_seen = false;
                UserAgent::new(config, Seed(denwa::tokio::entropy().unwrap()), now)
            },
            move |event| drop(tell.send(event)),
        )
        .unwrap();
        Self { driver, told, had: Cell::new(0) }
    }

    pub(crate) fn address(&self, protocol: Protocol) -> SocketAddr {
        self.driver.listening().iter().find(|listening| listening.protocol == protocol).unwrap().address
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

    /// An account at `user@domain`, whose requests go to `server` if there is one.
    pub(crate) fn account(
        &self,
        user: &'static str,
        domain: &str,
        server: Option<(Protocol, SocketAddr)>,
    ) -> AccountId {
        let mut account = Account::new(user, domain);
        if let Some((protocol, address)) = server {
            account = account.with_server(protocol, address);
        }
        self.act(move |agent, _| agent.add_account(account))
    }

    pub(crate) fn call(&self, account: AccountId, to: String) -> CallId {
        self.act(move |agent, now| agent.call(account, &to, now).unwrap())
    }

    pub(crate) fn hang_up(&self, call: CallId) {
        self.act(move |agent, now| agent.hang_up(call, now).unwrap());
    }

    /// Answers calls, and echoes what is heard in them, until `done` says so of an event; that event.
    pub(crate) fn until(&self, mut done: impl FnMut(&Event) -> bool) -> Event {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.told.recv_timeout(left).expect("what is waited for did not happen");
            match &event {
                Event::Incoming { call, .. } => {
                    let call = *call;
                    self.had.set(self.had.get() + 1);
                    // Who gives up at once is gone already.
                    let _ = self.act(move |agent, now| agent.answer(call, now));
                }
                Event::Sound { call, samples } => {
                    let (call, samples) = (*call, samples.clone());
                    let echo = Command::new(move |agent, _| drop(agent.say(call, &samples)));
                    self.driver.handle().command(echo).unwrap();
                }
                _ => {}
            }
            if done(&event) {
                return event;
            }
        }
    }

    /// Answers what came meanwhile; whether a call is up or on its way.
    pub(crate) fn has_call(&self) -> bool {
        let any = self.act(|agent, _| agent.calls().next().is_some());
        if any {
            self.until(|event| matches!(event, Event::Incoming { .. }));
        }
        any
    }

    pub(crate) fn calls_had(&self) -> usize {
        self.had.get()
    }

    pub(crate) fn until_answered(&self, call: CallId) {
        let event = self.until(|event| match event {
            Event::Answered { call: answered } => *answered == call,
            Event::Ended { call: ended, .. } => *ended == call,
            _ => false,
        });
        assert!(matches!(event, Event::Answered { .. }), "{event:?}");
    }

    /// How the next call ended, in words.
    pub(crate) fn until_ended(&self) -> String {
        match self.until(|event| matches!(event, Event::Ended { .. })) {
            Event::Ended { reason, .. } => reason.to_string(),
            _ => String::new(),
        }
    }

    pub(crate) fn stop(self) {
        self.act(|agent, now| agent.shut_down(now));
        self.until(|event| matches!(event, Event::ShutDown));
    }
}
