//! The ten laws of STYLE.md part 2, as checks that any machine is run through.
//!
//! A [`Subject`] is a way to make the machine, and a script: inputs, commands, and replies that are worked out from what the
//! machine has sent so far. The script is run once and what happened is written down; then it is replayed with the
//! freedoms that a law grants (drained at other moments, spurious and late deadlines, clocks that go back, inputs
//! that were bent), and the outputs must be what the law says. [`Subject::check`] gives the first law that is broken.
//!
//! | law | what is checked |
//! |---|---|
//! | 1 polls only pop | any number of polls changes nothing; drained stays drained |
//! | 2 time is an argument | an earlier `now` does what the latest one seen would do |
//! | 3 deadlines move on | after a handled deadline, on time or late, the next one is in the future |
//! | 4 spurious deadlines do nothing | no output, no other deadline, the same run afterwards |
//! | 5 same seed, same bytes | two runs of the whole script agree |
//! | 6 commands at any moment | undrained and drained runs give the same outputs in the same order |
//! | 7 bounds | outputs of one input and entries held stay below the stated [`Bounds`] |
//! | 8 layers drain layers | draining neither makes outputs nor moves the deadline |
//! | 9 one end for each handle | begins once, ends at most once, and is refused afterwards |
//! | 10 no panic | bent, cut, foreign, repeated and shuffled inputs, and commands at any moment |

mod bend;
mod run;

use crate::machine::{Machine, Output, Stimulus};
use run::{Happened, Recording};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A law that is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// 1 to 10.
    pub law: u8,
    /// What was expected and what was seen.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "law {}: {}", self.law, self.how)
    }
}

impl std::error::Error for Broken {}

/// What law 7 is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most outputs that one input, command or deadline may give.
    pub outputs_per_input: usize,
    /// The most that [`Machine::holdings`] may be.
    pub holdings: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { outputs_per_input: 64, holdings: usize::MAX }
    }
}

type Make<M> = Box<dyn Fn([u8; 32], Instant) -> M>;
type Command<M> = Rc<dyn Fn(&mut M, Instant)>;
type Reply = Rc<dyn Fn(&[Output]) -> Vec<Stimulus>>;
type Flood = Box<dyn Fn(u64) -> Stimulus>;

/// A machine under the laws, and what is done to it.
///
/// Commands must bear any moment: under law 10 they are called with the script shuffled and the inputs bent, so they drop
/// the `Misuse` they may get instead of unwrapping it.
pub struct Subject<M> {
    make: Make<M>,
    seed: [u8; 32],
    steps: Vec<(Duration, Step<M>)>,
    flood: Option<(u64, Flood)>,
    until: Duration,
    bounds: Bounds,
    bent_runs: u64,
}

impl<M> fmt::Debug for Subject<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("steps", &self.steps.len())
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

enum Step<M> {
    Input(Stimulus),
    Command(Command<M>),
    Reply(Reply),
}

impl<M: Machine> Subject<M> {
    /// A machine made by `make` from a seed and the instant of its beginning.
    pub fn new(make: impl Fn([u8; 32], Instant) -> M + 'static) -> Self {
        Self {
            make: Box::new(make),
            seed: [7; 32],
            steps: Vec::new(),
            flood: None,
            until: Duration::from_secs(60),
            bounds: Bounds::default(),
            bent_runs: 200,
        }
    }

    /// The network does this `at` that time after the beginning. Steps at the same time keep their order.
    #[must_use]
    pub fn input(mut self, at: Duration, stimulus: Stimulus) -> Self {
        self.steps.push((at, Step::Input(stimulus)));
        self
    }

    /// The application calls commands.
    #[must_use]
    pub fn command(mut self, at: Duration, command: impl Fn(&mut M, Instant) + 'static) -> Self {
        self.steps.push((at, Step::Command(Rc::new(command))));
        self
    }

    /// The network answers: the inputs are worked out from all outputs so far, for example a response with the branch or
    /// transaction number of a request.
    #[must_use]
    pub fn reply(mut self, at: Duration, reply: impl Fn(&[Output]) -> Vec<Stimulus> + 'static) -> Self {
        self.steps.push((at, Step::Reply(Rc::new(reply))));
        self
    }

    /// After the script this many further inputs are made from their number, to reach the limits (law 7).
    #[must_use]
    pub fn flood(mut self, count: u64, make: impl Fn(u64) -> Stimulus + 'static) -> Self {
        self.flood = Some((count, Box::new(make)));
        self
    }

    /// How long the run lasts in virtual time; a minute unless told.
    #[must_use]
    pub const fn until(mut self, until: Duration) -> Self {
        self.until = until;
        self
    }

    /// The seed of the machine.
    #[must_use]
    pub const fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = seed;
        self
    }

    /// What law 7 is checked against.
    #[must_use]
    pub const fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// How many runs with bent inputs law 10 makes; 200 unless told.
    #[must_use]
    pub const fn bent_runs(mut self, runs: u64) -> Self {
        self.bent_runs = runs;
        self
    }

    /// Runs the machine through all ten laws.
    ///
    /// # Errors
    /// The first law that is broken.
    pub fn check(&self) -> Result<(), Broken> {
        let recording = self.record()?;
        self.law_5_same_seed_same_bytes(&recording)?;
        self.law_1_polls_only_pop(&recording)?;
        self.law_2_time_is_an_argument(&recording)?;
        self.law_3_deadlines_move_on(&recording)?;
        self.law_4_spurious_deadlines_do_nothing(&recording)?;
        // A layer that drains lazily breaks law 6 too: name the cause.
        self.law_8_layers_drain_layers(&recording)?;
        self.law_6_commands_at_any_moment(&recording)?;
        self.law_7_bounds(&recording)?;
        self.law_9_one_end_for_each_handle(&recording)?;
        self.law_10_no_panic(&recording)
    }

    fn law_1_polls_only_pop(&self, recording: &Recording<M>) -> Result<(), Broken> {
        let mut run = self.start();
        let mut outputs = Vec::new();
        for (at, happened) in &recording.steps {
            run.happen(*at, happened);
            loop {
                let deadline = run.machine.poll_timeout();
                if (0..3).any(|_| run.machine.poll_timeout() != deadline) {
                    return broken(1, "poll_timeout gives another answer when it is asked again".to_owned());
                }
                let Some(output) = run.machine.poll_output() else { break };
                outputs.push(output);
            }
            if let Some(late) = (0..3).find_map(|_| run.machine.poll_output()) {
                return broken(1, format!("was drained at {at:?} and then gave {late:?}"));
            }
        }
        same(1, "polled more often", &recording.outputs, &outputs)
    }

    fn law_2_time_is_an_argument(&self, recording: &Recording<M>) -> Result<(), Broken> {
        // Every third step comes with a clock that went back: once as the latest time seen, once as the beginning.
        for phase in 0..3 {
            let (mut latest, mut back) = (self.start(), self.start());
            let (mut expected, mut outputs) = (Vec::new(), Vec::new());
            let mut seen = Duration::ZERO;
            for (index, (at, happened)) in recording.steps.iter().enumerate() {
                let went_back = index % 3 == phase && !matches!(happened, Happened::Deadline);
                if !went_back {
                    seen = *at;
                }
                latest.happen(seen, happened);
                back.happen(if went_back { Duration::ZERO } else { seen }, happened);
                latest.drain(&mut expected);
                back.drain(&mut outputs);
                let deadlines = (latest.deadline(), back.deadline());
                if deadlines.0 != deadlines.1 {
                    return broken(
                        2,
                        format!("a clock that went back at {at:?} moved the deadline: {deadlines:?}"),
                    );
                }
            }
            same(2, "with a clock that went back", &expected, &outputs)?;
        }
        Ok(())
    }

    fn law_3_deadlines_move_on(&self, recording: &Recording<M>) -> Result<(), Broken> {
        if let Some(at) = recording.stuck_at {
            return broken(3, format!("asks again for the deadline {at:?} that has just been handled"));
        }
        // Late: every deadline of the script is handled ten seconds after it was due, and at last one an hour late.
        let mut run = self.start();
        let mut ignored = Vec::new();
        let late = Duration::from_secs(10);
        for (at, happened) in &recording.steps {
            run.happen(if matches!(happened, Happened::Deadline) { *at + late } else { *at }, happened);
            run.drain(&mut ignored);
            let handled = matches!(happened, Happened::Deadline);
            if handled && run.deadline().is_some_and(|deadline| deadline <= *at + late) {
                return broken(
                    3,
                    format!("after a deadline handled late at {:?} wants {:?}", *at + late, run.deadline()),
                );
            }
        }
        let mut now = self.until + Duration::from_secs(3600);
        for _ in 0..1000 {
            run.happen(now, &Happened::Deadline);
            run.drain(&mut ignored);
            match run.deadline() {
                None => return Ok(()),
                Some(deadline) if deadline <= now => {
                    return broken(3, format!("after a deadline handled at {now:?} wants {deadline:?}"));
                }
                Some(deadline) => now = deadline,
            }
        }
        Ok(())
    }

    fn law_4_spurious_deadlines_do_nothing(&self, recording: &Recording<M>) -> Result<(), Broken> {
        let mut run = self.start();
        let mut outputs = Vec::new();
        for (index, (at, happened)) in recording.steps.iter().enumerate() {
            run.happen(*at, happened);
            run.drain(&mut outputs);
            let deadline = run.deadline();
            if deadline.is_some_and(|deadline| deadline <= *at) {
                continue; // due, so not spurious
            }
            let early = deadline.map_or(*at, |deadline| *at + (deadline - *at) / 2);
            // Half-way is only early while nothing else comes first.
            let next = recording.steps.get(index + 1).map_or(self.until, |(next, _)| *next);
            for when in [*at, early.min(next)] {
                run.happen(when, &Happened::Deadline);
                if let Some(output) = run.machine.poll_output() {
                    return broken(
                        4,
                        format!("a deadline at {when:?}, wanted at {deadline:?}, gave {output:?}"),
                    );
                }
                if run.deadline() != deadline {
                    let now = run.deadline();
                    return broken(
                        4,
                        format!("a deadline at {when:?} moved the next from {deadline:?} to {now:?}"),
                    );
                }
            }
        }
        same(4, "with spurious deadlines", &recording.outputs, &outputs)
    }

    fn law_5_same_seed_same_bytes(&self, recording: &Recording<M>) -> Result<(), Broken> {
        let again = self.record()?;
        if again.deadlines != recording.deadlines {
            return broken(5, "the second run asked for other deadlines".to_owned());
        }
        same(5, "run again", &recording.outputs, &again.outputs)
    }

    fn law_6_commands_at_any_moment(&self, recording: &Recording<M>) -> Result<(), Broken> {
        for every in [usize::MAX, 7, 2] {
            let mut run = self.start();
            let mut outputs = Vec::new();
            for (index, (at, happened)) in recording.steps.iter().enumerate() {
                run.happen(*at, happened);
                if index % every == every - 1 {
                    run.drain(&mut outputs);
                }
            }
            run.drain(&mut outputs);
            same(6, "drained seldom", &recording.outputs, &outputs)?;
        }
        Ok(())
    }

    fn law_7_bounds(&self, recording: &Recording<M>) -> Result<(), Broken> {
        let mut run = self.start();
        let mut outputs = Vec::new();
        for (at, happened) in &recording.steps {
            run.happen(*at, happened);
            self.within_bounds(&mut run, &mut outputs)?;
        }
        let Some((count, flood)) = &self.flood else { return Ok(()) };
        for index in 0..*count {
            run.happen(self.until, &Happened::Input(flood(index)));
            self.within_bounds(&mut run, &mut outputs)?;
        }
        Ok(())
    }

    fn within_bounds(&self, run: &mut run::Run<M>, outputs: &mut Vec<Output>) -> Result<(), Broken> {
        outputs.clear();
        run.drain(outputs);
        let Bounds { outputs_per_input, holdings } = self.bounds;
        if outputs.len() > outputs_per_input {
            return broken(
                7,
                format!("{} outputs from one input, {outputs_per_input} allowed", outputs.len()),
            );
        }
        match run.machine.holdings() {
            Some(held) if held > holdings => broken(7, format!("holds {held} entries, {holdings} allowed")),
            _ => Ok(()),
        }
    }

    fn law_8_layers_drain_layers(&self, recording: &Recording<M>) -> Result<(), Broken> {
        let mut run = self.start();
        let mut outputs = Vec::new();
        for (at, happened) in &recording.steps {
            run.happen(*at, happened);
            let before = run.deadline();
            run.drain(&mut outputs);
            let after = run.deadline();
            if before != after {
                return broken(
                    8,
                    format!("draining at {at:?} moved the deadline from {before:?} to {after:?}"),
                );
            }
        }
        same(8, "replayed", &recording.outputs, &outputs)
    }

    fn law_9_one_end_for_each_handle(&self, recording: &Recording<M>) -> Result<(), Broken> {
        run::check_lives(self.start(), recording)
    }

    fn law_10_no_panic(&self, recording: &Recording<M>) -> Result<(), Broken> {
        bend::check(self, recording)
    }
}

fn broken(law: u8, how: String) -> Result<(), Broken> {
    Err(Broken { law, how })
}

/// The first difference of two runs, told.
fn same(law: u8, way: &str, expected: &[Output], seen: &[Output]) -> Result<(), Broken> {
    let differs = expected.iter().zip(seen).position(|(expected, seen)| expected != seen);
    let place = differs.or_else(|| (expected.len() != seen.len()).then(|| expected.len().min(seen.len())));
    match place {
        None => Ok(()),
        Some(place) => {
            let (expected, seen) = (expected.get(place), seen.get(place));
            broken(law, format!("{way}, output {place} is {seen:?} instead of {expected:?}"))
        }
    }
}
