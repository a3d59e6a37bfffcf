//! Compiling in the background.

use super::{Base, Published};
use acl::CompileError;
use shm::{Label, PolicySegment, PortId};
use std::io;
use std::sync::Arc;

/// How much less than anybody else the background compiler asks of the cores.
const NICE: i32 = 15;

/// A list to be compiled, to take the place of a base and its change.
#[derive(Debug)]
pub struct Fold {
    /// Whose.
    pub port: PortId,
    /// What is to be replaced, as it is now.
    pub of: Published,
}

/// It is compiled, and lies in shared memory ready to be offered.
#[derive(Debug)]
pub struct Folded {
    /// Whose.
    pub port: PortId,
    /// What it was compiled to replace: may have changed meanwhile.
    pub of: Published,
    /// What came of it.
    pub outcome: Result<(Arc<Base>, PolicySegment), FoldError>,
}

/// The list could not be compiled; the change stays over its base.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// It is too large as one.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// No memory or no thread for it.
    #[error("no room for it: {0}")]
    Io(#[from] io::Error),
}

impl Fold {
    /// Compiles on threads of its own, which leave the cores to workers and everybody else, and hands the outcome to `done`.
    pub fn start(self, done: impl FnOnce(Folded) + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("recompile".to_owned());
        thread.spawn(move || done(self.run())).map(drop)
    }

    fn run(self) -> Folded {
        let Fold { port, of } = self;
        let outcome = compile(&of).and_then(|base| {
            let base = Arc::new(base);
            let segment = segment(&base, &of)?;
            Ok((base, segment))
        });
        Folded { port, of, outcome }
    }
}

fn compile(of: &Published) -> Result<Base, FoldError> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).start_handler(|_| stand_back()).build();
    Ok(pool.map_err(io::Error::other)?.install(|| of.base().compile_again(of.list()))?)
}

/// Of the calling thread alone, as Linux has it: a process number is a thread's.
fn stand_back() {
    // Who may not, competes.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

/// The numbers of a list stay as long as its base is in use, so what each rule was is known before it is compiled.
fn segment(base: &Arc<Base>, of: &Published) -> io::Result<PolicySegment> {
    let labels: &[Label] = &base.list.labels;
    PolicySegment::build(base.image.as_bytes(), labels, Some(&Published::new(Arc::clone(base)).origins(of)))
}
