//! Running a script: once to write down what happens, then as often as laws ask, from what was written down.

use super::{Broken, Command, Step, Subject, broken};
use crate::machine::{Life, Machine, Output, Stimulus};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// More deadlines than this in one script are taken for an endless loop.
const MOST_DEADLINES: usize = 1_000_000;

/// A machine that is being run.
pub(super) struct Run<M> {
    pub(super) machine: M,
    began: Instant,
}

/// Something that is done to a machine, with nothing left to work out.
pub(super) enum Happened<M> {
    Input(Stimulus),
    Command(Command<M>),
    Deadline,
}

impl<M> Clone for Happened<M> {
    fn clone(&self) -> Self {
        match self {
            Self::Input(stimulus) => Self::Input(stimulus.clone()),
            Self::Command(command) => Self::Command(command.clone()),
            Self::Deadline => Self::Deadline,
        }
    }
}

/// What happened when the script was run.
pub(super) struct Recording<M> {
    pub(super) steps: Vec<(Duration, Happened<M>)>,
    pub(super) outputs: Vec<Output>,
    /// Of each step: how many outputs there were after it.
    counts: Vec<usize>,
    pub(super) deadlines: Vec<Option<Duration>>,
    /// The deadline that did not move on, which ended the run.
    pub(super) stuck_at: Option<Duration>,
}

impl<M: Machine> Run<M> {
    pub(super) fn happen(&mut self, at: Duration, happened: &Happened<M>) {
        let now = self.began + at;
        match happened {
            Happened::Input(stimulus) => self.machine.handle_input(stimulus.clone().as_input(), now),
            Happened::Command(command) => command(&mut self.machine, now),
            Happened::Deadline => self.machine.handle_timeout(now),
        }
    }

    pub(super) fn drain(&mut self, outputs: &mut Vec<Output>) {
        outputs.extend(std::iter::from_fn(|| self.machine.poll_output()));
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.machine.poll_timeout().map(|at| at.saturating_duration_since(self.began))
    }
}

impl<M: Machine> Subject<M> {
    /// A new machine, at the beginning.
    pub(super) fn start(&self) -> Run<M> {
        // Only differences to this instant count.
        let began = Instant::now();
        Run { machine: (self.make)(self.seed, began), began }
    }

    /// Runs the script, deadlines handled exactly when they are due.
    pub(super) fn record(&self) -> Result<Recording<M>, Broken> {
        let mut run = self.start();
        let mut recording = Recording {
            steps: Vec::new(),
            outputs: Vec::new(),
            counts: Vec::new(),
            deadlines: Vec::new(),
            stuck_at: None,
        };
        run.drain(&mut recording.outputs);
        let mut steps: Vec<&(Duration, Step<M>)> = self.steps.iter().collect();
        steps.sort_by_key(|(at, _)| *at);
        for (at, step) in steps {
            recording.advance(&mut run, *at);
            match step {
                Step::Input(stimulus) => recording.take(&mut run, *at, Happened::Input(stimulus.clone())),
                Step::Command(command) => recording.take(&mut run, *at, Happened::Command(command.clone())),
                Step::Reply(reply) => {
                    for stimulus in reply(&recording.outputs) {
                        recording.take(&mut run, *at, Happened::Input(stimulus));
                    }
                }
            }
        }
        recording.advance(&mut run, self.until);
        if recording.steps.len() >= MOST_DEADLINES {
            return Err(Broken { law: 3, how: "has no end of deadlines".to_owned() });
        }
        Ok(recording)
    }
}

impl<M: Machine> Recording<M> {
    fn take(&mut self, run: &mut Run<M>, at: Duration, happened: Happened<M>) {
        run.happen(at, &happened);
        run.drain(&mut self.outputs);
        self.steps.push((at, happened));
        self.counts.push(self.outputs.len());
        self.deadlines.push(run.deadline());
    }

    /// Handles every deadline up to and including `until`.
    fn advance(&mut self, run: &mut Run<M>, until: Duration) {
        while let Some(at) = run.deadline().filter(|at| *at <= until) {
            if self.stuck_at.is_some() || self.steps.len() >= MOST_DEADLINES {
                return;
            }
            // A deadline in the past is due at once.
            let at = at.max(self.steps.last().map_or(Duration::ZERO, |(last, _)| *last));
            self.take(run, at, Happened::Deadline);
            if run.deadline().is_some_and(|next| next <= at) {
                self.stuck_at = Some(at);
            }
        }
    }
}

/// Law 9, over the lives that events tell of.
pub(super) fn check_lives<M: Machine>(mut run: Run<M>, recording: &Recording<M>) -> Result<(), Broken> {
    let mut lives: BTreeMap<u64, bool> = BTreeMap::new();
    let mut outputs = Vec::new();
    run.drain(&mut outputs);
    for (at, happened) in &recording.steps {
        run.happen(*at, happened);
        run.drain(&mut outputs);
        for output in outputs.drain(..) {
            let Output::Event { text, life } = output else { continue };
            match life {
                Life::None => {}
                Life::Begun(handle) => {
                    if lives.insert(handle, true).is_some() {
                        return broken(9, format!("handle {handle} began twice: {text}"));
                    }
                }
                Life::Ended(handle) => {
                    if lives.insert(handle, false) != Some(true) {
                        return broken(
                            9,
                            format!("handle {handle} ended without having begun, or twice: {text}"),
                        );
                    }
                    if run.machine.refuses(handle, run.began + *at) == Some(false) {
                        return broken(9, format!("handle {handle} still takes commands after: {text}"));
                    }
                }
            }
        }
    }
    Ok(())
}
