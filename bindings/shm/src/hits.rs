//! The hit counters of a policy in use: one for each rule and worker, and what a rule brings from the policy before.

use crate::counters::Counter;
use crate::layout::{HEADER_BYTES, MAX_WORKERS, MOST_NUMBERS};
use crate::memory::Overlaid;
use crate::segment::{Kind, Segment, SegmentError, Writers};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Rows of hit counters: one for each worker, which alone writes it, and one for the manager; each on cache lines of its
/// own.
#[derive(Clone, Copy, Debug)]
struct Rows {
    workers: usize,
    rules: usize,
    stride: usize,
}

impl Rows {
    fn new(workers: u64, rules: u64) -> Option<(Rows, usize)> {
        let workers = usize::try_from(workers).ok().filter(|n| (1..=MAX_WORKERS).contains(n))?;
        let rules = usize::try_from(rules).ok().filter(|&n| n <= MOST_NUMBERS as usize)?;
        let rows = Rows { workers, rules, stride: rules.next_multiple_of(8) };
        Some((rows, HEADER_BYTES + rows.cells() * 8))
    }

    fn cells(&self) -> usize {
        (self.workers + 1) * self.stride
    }

    /// Of the worker, or of the manager, who comes behind the last worker.
    fn place(&self, worker: usize, rule: u32) -> Option<usize> {
        let rule = rule as usize;
        (worker <= self.workers && rule < self.rules).then_some(worker * self.stride + rule)
    }
}

/// How many packets met each rule of a policy in use.
#[derive(Debug)]
pub struct Hits {
    rows: Rows,
    cells: Overlaid<Counter>,
    fd: OwnedFd,
}

impl Hits {
    /// All zero.
    pub(crate) fn create(workers: usize, rules: u32) -> io::Result<Hits> {
        let (rows, len) = Rows::new(workers as u64, u64::from(rules)).ok_or(io::ErrorKind::InvalidInput)?;
        let parameters = [workers as u64, u64::from(rules), 0, 0, 0];
        let Segment { fd, mapping } = Segment::create(Kind::Hits, parameters, len, Writers::Maker)?;
        let cells = Overlaid::new(&mapping, HEADER_BYTES, rows.cells());
        Ok(Hits { rows, cells: cells.ok_or(io::ErrorKind::InvalidInput)?, fd })
    }

    /// Rules that there are counters for.
    pub fn rules(&self) -> u32 {
        self.rows.rules as u32
    }

    /// Counts packets that met a rule. Each worker has its own row, which no other thread may write. What is beyond the
    /// rows is not counted.
    #[inline]
    pub fn add(&self, worker: usize, rule: u32, packets: u64) {
        if worker < self.rows.workers {
            self.add_to_row(worker, rule, packets);
        }
    }

    /// Counts what a rule brings from the policy before: once no worker counts there any more. The manager's row, which no
    /// other thread may write.
    pub fn carry(&self, rule: u32, packets: u64) {
        self.add_to_row(self.rows.workers, rule, packets);
    }

    #[inline]
    fn add_to_row(&self, worker: usize, rule: u32, packets: u64) {
        if let Some(cell) = self.rows.place(worker, rule).and_then(|place| self.cells.get(place)) {
            cell.add(packets);
        }
    }

    /// Packets that met a rule, of all workers, and in policies before.
    pub fn get(&self, rule: u32) -> u64 {
        sum(&self.rows, &self.cells, rule)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The same, read-only.
#[derive(Debug)]
pub(crate) struct HitsView {
    rows: Rows,
    cells: Overlaid<Counter>,
}

impl HitsView {
    pub(crate) fn open(fd: OwnedFd) -> Result<HitsView, SegmentError> {
        let rows = |parameters: [u64; 5]| match parameters {
            [workers, rules, 0, 0, 0] => Rows::new(workers, rules),
            _ => None,
        };
        let (Segment { mapping, .. }, parameters) =
            Segment::open(fd, Kind::Hits, false, |parameters| rows(parameters).map(|(_, len)| len))?;
        let (rows, _) = rows(parameters).ok_or(SegmentError::Size)?;
        let cells = Overlaid::new(&mapping, HEADER_BYTES, rows.cells());
        Ok(HitsView { rows, cells: cells.ok_or(SegmentError::Size)? })
    }

    pub(crate) fn get(&self, rule: u32) -> u64 {
        sum(&self.rows, &self.cells, rule)
    }
}

fn sum(rows: &Rows, cells: &[Counter], rule: u32) -> u64 {
    (0..=rows.workers)
        .filter_map(|worker| cells.get(rows.place(worker, rule)?))
        .fold(0, |sum, cell| sum.wrapping_add(cell.get()))
}
