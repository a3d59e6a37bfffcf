//! The one type of this crate, and its readers.

use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use crossbeam_epoch::{Atomic, Collector, Guard, LocalHandle, Owned};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Passes of the collector that take a value from unreachable to freed when no reader is pinned: the epoch must
/// advance twice after the value was retired, and a pass advances it once.
const PASSES: usize = 4;

/// A published value, and the link by which it hangs on the list of the dead.
struct Node<T> {
    value: Arc<T>,
    next: AtomicPtr<Node<T>>,
}

/// What outlives `Published` until the last deferred function has run.
struct Graveyard<T> {
    /// Values that nobody can reach any more, most recent first.
    dead: AtomicPtr<Node<T>>,
    /// Values replaced but not yet freed: those in `dead` and those that a reader may still hold.
    retired: AtomicUsize,
}

/// The newest value of a kind, for readers that may not wait.
///
/// Publishing is for one thread at a time in spirit, but sound from any: the last one to swap wins.
pub struct Published<T: Send + Sync + 'static> {
    current: Atomic<Node<T>>,
    collector: Collector,
    graveyard: Arc<Graveyard<T>>,
}

impl<T: Send + Sync + 'static> Published<T> {
    /// Begins with a first value.
    pub fn new(first: T) -> Published<T> {
        Published {
            current: Atomic::new(Node { value: Arc::new(first), next: AtomicPtr::new(ptr::null_mut()) }),
            collector: Collector::new(),
            graveyard: Arc::new(Graveyard {
                dead: AtomicPtr::new(ptr::null_mut()),
                retired: AtomicUsize::new(0),
            }),
        }
    }

    /// Makes a value the newest one. Readers that pin from now on see it; those that are pinned keep what they have.
    /// The old one is freed by a later [`collect`](Published::collect), [`wait_for_readers`](Published::wait_for_readers)
    /// or by the drop of this.
    pub fn publish(&self, value: impl Into<Arc<T>>) {
        let handle = self.collector.register();
        let guard = handle.pin();
        self.graveyard.retired.fetch_add(1, Ordering::Relaxed);
        let new = Owned::new(Node { value: value.into(), next: AtomicPtr::new(ptr::null_mut()) });
        let old = self.current.swap(new, Ordering::AcqRel, &guard).as_raw() as usize;
        let graveyard = Arc::clone(&self.graveyard);
        // SAFETY: `old` was allocated by `Owned`/`Atomic::new` and the swap took it out of the only place that readers
        // find it in, once. The collector runs the function after every guard that could have seen it is gone, so the
        // function is the node's only owner. The function may run on any thread: `Node<T>` is only linked there, and
        // `T: Send + Sync` lets it be dropped on the collecting one. It holds its own share of the graveyard.
        unsafe {
            guard.defer_unchecked(move || graveyard.bury(old as *mut Node<T>));
        }
        guard.flush();
    }

    /// Frees what no reader can hold any more. Returns how many replaced values are still not freed: 0 says that no
    /// reader holds anything but the newest value.
    ///
    /// Dropping the values happens in here, on the calling thread. Never waits.
    pub fn collect(&self) -> usize {
        let handle = self.collector.register();
        for _ in 0..PASSES {
            if self.graveyard.retired.load(Ordering::Acquire) == 0 {
                return 0;
            }
            handle.pin().flush();
            self.graveyard.empty();
        }
        self.graveyard.retired.load(Ordering::Acquire)
    }

    /// Waits until no reader holds anything but the newest value, and all older ones are freed. `false` if that took
    /// longer than `patience`: some reader stays pinned.
    ///
    /// A thread that is itself pinned on this must not call it: it would wait for itself until its patience ends.
    pub fn wait_for_readers(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(10);
        while self.collect() != 0 {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
        true
    }

    /// A reader for the calling thread, which it cannot leave. Make one per thread and keep it: making it takes a
    /// memory allocation, pinning takes none.
    pub fn reader(&self) -> Reader<'_, T> {
        Reader { handle: self.collector.register(), published: self }
    }

    /// The newest value, to keep. For those who are in no hurry.
    pub fn latest(&self) -> Arc<T> {
        let reader = self.reader();
        let pinned = reader.pin();
        Arc::clone(&pinned.node().value)
    }
}

impl<T: Send + Sync + 'static> Drop for Published<T> {
    fn drop(&mut self) {
        // No reader is left, as each borrows this; so what is deferred can run now. Should the collector keep some of it
        // for later, the last share of the graveyard frees that.
        self.collect();
        // SAFETY: `&mut self`: nobody else can reach `current`, and nobody will look at it again.
        unsafe {
            drop(std::mem::replace(&mut self.current, Atomic::null()).into_owned());
        }
    }
}

impl<T: Send + Sync + 'static + fmt::Debug> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&self.latest()).finish()
    }
}

impl<T> Graveyard<T> {
    /// Takes over a node that nobody can reach. Lock-free, allocates and frees nothing.
    fn bury(&self, node: *mut Node<T>) {
        let mut first = self.dead.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller owns the node alone until the exchange below succeeds.
            unsafe { (*node).next.store(first, Ordering::Relaxed) };
            match self.dead.compare_exchange_weak(first, node, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Drops all that is buried.
    fn empty(&self) {
        let mut node = self.dead.swap(ptr::null_mut(), Ordering::AcqRel);
        while !node.is_null() {
            // SAFETY: the swap took the whole list for this thread alone; each node came from a `Box` (`Owned` is one),
            // and is taken off the list before it is freed.
            let taken = unsafe { Box::from_raw(node) };
            node = taken.next.load(Ordering::Relaxed);
            drop(taken);
            self.retired.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl<T> Drop for Graveyard<T> {
    fn drop(&mut self) {
        self.empty();
    }
}

/// One thread's way to the newest value.
pub struct Reader<'a, T: Send + Sync + 'static> {
    handle: LocalHandle,
    published: &'a Published<T>,
}

impl<T: Send + Sync + 'static> Reader<'_, T> {
    /// The newest value, held for as long as the result lives: keep it for one burst, not longer, as nothing that was
    /// replaced meanwhile can be freed. No lock, no allocation.
    #[inline]
    pub fn pin(&self) -> Pinned<'_, T> {
        let guard = self.handle.pin();
        let node = self.published.current.load(Ordering::Acquire, &guard).as_raw();
        Pinned { node, _guard: guard, _reader: PhantomData }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Reader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// A value that cannot be freed while this lives.
pub struct Pinned<'r, T: Send + Sync + 'static> {
    node: *const Node<T>,
    _guard: Guard,
    _reader: PhantomData<&'r Reader<'r, T>>,
}

impl<T: Send + Sync + 'static> Pinned<'_, T> {
    #[inline]
    fn node(&self) -> &Node<T> {
        // SAFETY: `current` is never null before `Published` is dropped, which the reader's borrow prevents; the node was
        // loaded under this guard, so the collector frees or changes it only after the guard is gone.
        unsafe { &*self.node }
    }
}

impl<T: Send + Sync + 'static> Deref for Pinned<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.node().value
    }
}

impl<T: Send + Sync + 'static + fmt::Debug> fmt::Debug for Pinned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
