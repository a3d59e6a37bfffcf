//! Where a long run is, and how long it still takes.

use std::time::{Duration, Instant};

/// Says of each case, when it is done, what came of it.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    cases: usize,
    done: usize,
}

impl Progress {
    /// Of a run that begins now.
    pub fn new(cases: usize) -> Progress {
        Progress { begun: Instant::now(), cases, done: 0 }
    }

    /// A case is done. On stderr, as stdout is for figures.
    pub fn done(&mut self, case: &impl ToString, what: &str) {
        self.done += 1;
        let width = self.cases.to_string().len();
        let (done, cases) = (self.done, self.cases);
        let left = left(self.begun.elapsed(), done, cases);
        eprintln!("[{done:width$}/{cases}] {:32} {what}{left}", case.to_string());
    }
}

/// How long the rest takes, if each case takes as long as those before did.
fn left(elapsed: Duration, done: usize, cases: usize) -> String {
    let rest = elapsed.as_secs_f64() / done.max(1) as f64 * cases.saturating_sub(done) as f64;
    match rest.ceil() as u64 {
        0 => String::new(),
        seconds @ 1..100 => format!(" ({seconds} s left)"),
        seconds => format!(" ({} min left)", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_was() {
        assert_eq!(left(Duration::from_secs(10), 1, 3), " (20 s left)");
        assert_eq!(left(Duration::from_secs(60), 1, 5), " (4 min left)");
        assert_eq!(left(Duration::from_secs(60), 5, 5), "");
    }
}
