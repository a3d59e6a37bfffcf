//! Our own back ends.

use super::case::Op;
use super::contender::{BURST, Contender, RawKeys};
use super::traffic::Packet;
use crate::Error;
use crate::clock::{Lap, timed};
use gcm::{Aad, BackEnd, Job, Key};
use model::IcvLen;

/// A back end, with keys.
#[derive(Debug)]
pub struct Ours {
    back_end: BackEnd,
    keys: Vec<Key>,
    prefetch: bool,
}

impl Ours {
    /// Expands the keys. With `prefetch`, those of a burst are brought in while the burst before it is worked on, as the
    /// data plane does it.
    ///
    /// # Errors
    ///
    /// [`Error::Generator`], if the keys are none.
    pub fn new(back_end: BackEnd, keys: &RawKeys, prefetch: bool) -> Result<Ours, Error> {
        let expand = |bytes| {
            Key::new_for(back_end, bytes, keys.length).map_err(|error| Error::Generator(error.to_string()))
        };
        Ok(Ours { back_end, keys: keys.iter().map(expand).collect::<Result<_, _>>()?, prefetch })
    }

    fn jobs<'a>(&'a self, packets: &'a mut [Packet<'_>]) -> Vec<Job<'a>> {
        let job = |packet: &'a mut Packet<'_>| {
            Some(Job {
                key: self.keys.get(packet.key)?,
                nonce: packet.nonce,
                aad: Aad::from(packet.aad),
                packet: &mut *packet.buffer,
                text: packet.text.clone(),
                icv: IcvLen::Bytes16,
            })
        };
        packets.iter_mut().filter_map(job).collect()
    }
}

impl Contender for Ours {
    fn name(&self) -> String {
        self.back_end.name().to_owned()
    }

    fn key_bytes(&self) -> usize {
        size_of::<Key>()
    }

    fn lap(&self, op: Op, packets: &mut [Packet<'_>]) -> Lap {
        let mut jobs = self.jobs(packets);
        timed(|| {
            let mut failed = 0;
            let mut bursts = jobs.chunks_mut(BURST).peekable();
            while let Some(burst) = bursts.next() {
                if self.prefetch
                    && let Some(next) = bursts.peek()
                {
                    next.iter().for_each(|job| job.key.prefetch(job.text.len()));
                }
                let not_done = match op {
                    Op::Encrypt => gcm::seal_by(self.back_end, burst),
                    Op::Decrypt => gcm::open_by(self.back_end, burst),
                };
                failed += not_done.count_ones() as usize;
            }
            failed
        })
    }
}
