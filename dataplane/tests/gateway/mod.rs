//! A data plane in a process of its own, between capture files, with the test as its control plane.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod frames;
pub(crate) mod loaded;
pub(crate) mod pcap;

use acl::{Action, Rule};
use model::{Direction, KeyMaterial, Mode, Prefix, Selector, SizeRules, Spi, Suite, Tfc};
use shm::{
    AttachPort, Command, Control, CountersSnapshot, Device, InstallSa, Label, NextHop, PolicySegment, PortId,
    PortIp,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const LAN: u16 = 0;
pub(crate) const WAN: u16 = 1;
/// Entry and SA indexes of the one tunnel.
pub(crate) const ENTRY: u32 = 0;
pub(crate) const OUTBOUND: u32 = 0;
pub(crate) const INBOUND: u32 = 1;

/// One end of a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    /// Station addresses of the LAN and the WAN port.
    pub(crate) macs: [[u8; 6]; 2],
    /// VLANs of the two ports.
    pub(crate) vlans: [Option<u16>; 2],
    /// Addresses and MTUs of the two ports.
    pub(crate) ip: [PortIp; 2],
    /// What both links take, and what a buffer holds if it is not the usual.
    pub(crate) mtu: u16,
    pub(crate) max_frame: Option<u16>,
    /// Each with a core and with queues of its own.
    pub(crate) workers: usize,
    /// Station addresses of the host behind it and of the other gateway.
    pub(crate) neighbours: [[u8; 6]; 2],
    pub(crate) local: &'static str,
    pub(crate) remote: &'static str,
    /// ESP goes in UDP, to this port.
    pub(crate) udp_port: Option<u16>,
    /// What is behind it, and what is behind the other gateway, in each family.
    pub(crate) inside: [&'static str; 2],
    pub(crate) beyond: [&'static str; 2],
    /// The policy of its WAN, if it is not that all between these is protected.
    pub(crate) rules: Option<Vec<Rule>>,
    /// What may come out of its SA, if that is not all.
    pub(crate) selectors: Option<Vec<Selector>>,
    pub(crate) suite: Suite,
    /// What becomes of packets that are too long.
    pub(crate) size: SizeRules,
    /// How it hides the lengths of its packets, and when there are any.
    pub(crate) tfc: Tfc,
    /// Of both SAs.
    pub(crate) limits: shm::Limits,
    /// SPI and key of what it sends and of what it receives; a suite that wants more has it over and over.
    pub(crate) outbound: (u32, [u8; 20]),
    pub(crate) inbound: (u32, [u8; 20]),
    pub(crate) esn: bool,
    /// What arrives late may be so many packets behind.
    pub(crate) replay_window: u32,
    /// The sequence number that both ends begin with.
    pub(crate) first_sequence: u64,
}

impl Site {
    pub(crate) fn a() -> Site {
        Site {
            name: "a",
            macs: [[2, 0, 0, 0, 0, 0xA0], [2, 0, 0, 0, 0, 0xA1]],
            vlans: [None; 2],
            ip: [PortIp::default(); 2],
            mtu: 1600,
            max_frame: None,
            workers: 1,
            neighbours: [[2, 0, 0, 0, 0, 0xAA], [2, 0, 0, 0, 0, 0xB1]],
            local: "192.0.2.1",
            remote: "192.0.2.2",
            udp_port: None,
            inside: ["10.1.0.0/16", "2001:db8:1::/48"],
            beyond: ["10.2.0.0/16", "2001:db8:2::/48"],
            rules: None,
            selectors: None,
            suite: Suite::AES_GCM_128,
            size: SizeRules::default(),
            tfc: Tfc::NONE,
            limits: shm::Limits::default(),
            outbound: (0x1001, [7; 20]),
            inbound: (0x2001, [9; 20]),
            esn: false,
            replay_window: 4096,
            first_sequence: 1,
        }
    }

    /// The other end of the tunnel. It takes what this end protects, and nothing else.
    pub(crate) fn peer(&self) -> Site {
        let protected = |rules: &Vec<Rule>| {
            let protected = rules.iter().filter(|rule| rule.action == Action::Protect(ENTRY));
            protected.map(|rule| rule.selector).collect()
        };
        Site {
            name: "b",
            macs: [[2, 0, 0, 0, 0, 0xB0], self.neighbours[1]],
            neighbours: [[2, 0, 0, 0, 0, 0xBB], self.macs[1]],
            local: self.remote,
            remote: self.local,
            inside: self.beyond,
            beyond: self.inside,
            rules: None,
            selectors: self.rules.as_ref().map(protected),
            outbound: self.inbound,
            inbound: self.outbound,
            ..self.clone()
        }
    }

    fn prefixes(&self) -> [(Prefix, Prefix); 2] {
        std::array::from_fn(|family| {
            (self.inside[family].parse().unwrap(), self.beyond[family].parse().unwrap())
        })
    }

    pub(crate) fn sa(&self, index: u32, direction: Direction) -> Command {
        let (spi, key) = match direction {
            Direction::Outbound => &self.outbound,
            Direction::Inbound => &self.inbound,
        };
        let key: Vec<u8> = key.iter().copied().cycle().take(self.suite.key_material_len()).collect();
        Command::InstallSa(Box::new(InstallSa {
            index,
            direction,
            spi: Spi::new(*spi).unwrap(),
            suite: self.suite,
            mode: Mode::Tunnel,
            key: KeyMaterial::new(&key).unwrap(),
            local: self.local.parse().unwrap(),
            remote: self.remote.parse().unwrap(),
            udp_port: self.udp_port,
            extended_sequence: self.esn,
            replay_window: self.replay_window,
            first_sequence: self.first_sequence,
            replay_floor: self.first_sequence - 1,
            iv_base: 0,
            limits: self.limits,
            size: self.size,
            tfc: self.tfc,
            entry: Some(ENTRY),
        }))
    }

    /// The whole state, but for the policy's segment, which goes by offer.
    pub(crate) fn commands(&self, folder: &Path, segment: u32) -> Vec<Command> {
        let [lan, wan] = [LAN, WAN].map(|number| PortId::new(number).unwrap());
        let attach = |port: PortId, name: &str| {
            let queue = |worker: usize| {
                let file = |way: &str| folder.join(queue_file(name, way, worker)).display().to_string();
                format!(",rx_pcap={},tx_pcap={}", file("in"), file("out"))
            };
            let queues: String = (0..self.workers).map(queue).collect();
            Command::AttachPort(AttachPort {
                port,
                device: Device::new(&format!("net_pcap{port}{queues}")).unwrap(),
                name: shm::PortName::EMPTY,
                mac: Some(self.macs[port.index()]),
                mtu: self.mtu,
                vlan: self.vlans[port.index()],
                shutdown: false,
                ip: self.ip[port.index()],
            })
        };
        let forward = |port: PortId| NextHop::Forward { port, mac: self.neighbours[port.index()] };
        let host = |address: &str| Prefix::from(address.parse::<IpAddr>().unwrap());
        let mut commands = vec![
            attach(lan, "lan"),
            attach(wan, "wan"),
            self.sa(OUTBOUND, Direction::Outbound),
            self.sa(INBOUND, Direction::Inbound),
        ];
        let all = self.prefixes().map(|(inside, beyond)| Selector::between(beyond, inside).unwrap());
        for &selector in self.selectors.as_deref().unwrap_or(&all) {
            commands.push(Command::AddSelector { index: INBOUND, selector });
        }
        commands.extend([
            Command::BindEntry { entry: ENTRY, sa: Some(OUTBOUND) },
            Command::SetPolicy { port: wan, segment },
            Command::SetNextHop { id: 0, hop: NextHop::Local },
            Command::SetNextHop { id: 1, hop: forward(lan) },
            Command::SetNextHop { id: 2, hop: forward(wan) },
            Command::AddRoute { prefix: host(self.local), next_hop: 0 },
            Command::AddRoute { prefix: host(self.remote), next_hop: 2 },
        ]);
        for (inside, beyond) in self.prefixes() {
            commands.push(Command::AddRoute { prefix: inside, next_hop: 1 });
            commands.push(Command::AddRoute { prefix: beyond, next_hop: 2 });
        }
        commands
    }

    pub(crate) fn policy(&self) -> PolicySegment {
        let all = self.prefixes().map(|(inside, beyond)| {
            Rule::new(Selector::between(inside, beyond).unwrap(), Action::Protect(ENTRY))
        });
        let rules = self.rules.as_deref().unwrap_or(&all);
        let image = acl::compile(rules, acl::Limits::default()).unwrap();
        let label = |number: usize| Label::new(&format!("100:{}", 10 * (number + 1))).unwrap();
        let labels: Vec<Label> = (0..rules.len()).map(label).collect();
        PolicySegment::build(image.as_bytes(), &labels, None).unwrap()
    }
}

/// The capture file of a worker's queue of a port.
pub(crate) fn queue_file(port: &str, way: &str, worker: usize) -> String {
    if worker == 0 { format!("{port}.{way}") } else { format!("{port}.{way}{worker}") }
}

/// What came of a run.
pub(crate) struct Outcome {
    /// What left by each port, worker by worker.
    pub(crate) lan: Vec<Vec<u8>>,
    pub(crate) wan: Vec<Vec<u8>>,
    pub(crate) counters: CountersSnapshot,
    pub(crate) sas: [shm::SaStatus; 2],
    /// Packets that met a rule of the policy.
    pub(crate) hits: u64,
}

/// A running data plane; ended when dropped.
pub(crate) struct Dataplane {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Dataplane {
    pub(crate) fn start(folder: &Path) -> Dataplane {
        Dataplane::start_with(folder, &[])
    }

    /// With more options of its own.
    pub(crate) fn start_with(folder: &Path, options: &[&str]) -> Dataplane {
        let socket = folder.join("s");
        // By setpriv it ends with us, even if we are killed.
        let child = std::process::Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_espalier-dataplane")])
            .args(["--log", "warn", "--max-routes", "64", "--max-sas", "256", "--mbufs", "4096", "--socket"])
            .arg(&socket)
            .args(options)
            .args(["--", "--no-huge", "-m", "320", "--no-pci"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Dataplane { child, socket }
    }

    pub(crate) fn connect(&mut self) -> Control {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Control::connect(&self.socket) {
                Ok(control) => return control,
                Err(error) => {
                    assert_eq!(self.child.try_wait().unwrap(), None, "the data plane ended by itself");
                    assert!(Instant::now() < deadline, "no connection: {error}");
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// Ends it as an operator does, and sees that it ends well.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the data plane ended with {status}");
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the frames into both ports of a gateway and returns what came out. Where there are several workers, they get them in
/// turn.
pub(crate) fn run(site: &Site, lan: &[Vec<u8>], wan: &[Vec<u8>]) -> Outcome {
    run_until(site, lan, wan, |_| true)
}

/// As [`run`], of a gateway that sends by itself, too: until that is `enough`.
pub(crate) fn run_until(
    site: &Site,
    lan: &[Vec<u8>],
    wan: &[Vec<u8>],
    enough: impl Fn(&CountersSnapshot) -> bool,
) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for (name, frames) in [("lan", lan), ("wan", wan)] {
        for worker in 0..site.workers {
            let own: Vec<_> = frames.iter().skip(worker).step_by(site.workers).cloned().collect();
            pcap::write(&folder.path().join(queue_file(name, "in", worker)), &own).unwrap();
        }
    }
    let max_frame = site.max_frame.map(|bytes| bytes.to_string());
    let cores = (site.workers > 1).then(|| cores(site.workers));
    let options: Vec<&str> = max_frame.iter().flat_map(|bytes| ["--max-frame", bytes]).collect();
    let options: Vec<&str> =
        options.into_iter().chain(cores.iter().flat_map(|cores| ["--cores", cores])).collect();
    let mut dataplane = Dataplane::start_with(folder.path(), &options);
    let mut control = dataplane.connect();
    let segment = control.offer(&site.policy()).unwrap();
    let commit = control.submit(&site.commands(folder.path(), segment), true).unwrap();
    control.wait_ack(commit, PATIENCE).unwrap();
    let given = (lan.len() + wan.len()) as u64;
    let deadline = Instant::now() + PATIENCE;
    // Counters are read one by one while a worker adds to them: two readings must be one.
    let mut before = control.counters().snapshot();
    let counters = loop {
        let counters = control.counters().snapshot();
        let still = (doors(&before), made(&before)) == (doors(&counters), made(&counters));
        before = counters.clone();
        let (came, left) = (received(&counters) + made(&counters), doors(&counters).iter().sum::<u64>());
        if still && received(&counters) >= given && left >= came && enough(&counters) {
            break counters;
        }
        assert!(Instant::now() < deadline, "{}: {given} packets in, but {counters:?}", site.name);
        std::thread::sleep(Duration::from_millis(2));
    };
    // Between the answers to two, the manager does what the workers' alarms want.
    for _ in 0..2 {
        let commit = control.submit(&[Command::Barrier], false).unwrap();
        control.wait_ack(commit, PATIENCE).unwrap();
    }
    let observer = shm::Observer::connect(&dataplane.socket).unwrap();
    let hits = observer.policies().unwrap().iter().flat_map(numbered).map(|(_, hits)| hits).sum();
    let sas = [OUTBOUND, INBOUND].map(|index| control.sa_table().get(index).unwrap());
    drop(control);
    dataplane.stop();
    let out = |name: &str| {
        let files = (0..site.workers).map(|worker| queue_file(name, "out", worker));
        files.flat_map(|file| pcap::read(&folder.path().join(file)).unwrap()).collect()
    };
    Outcome { lan: out("lan"), wan: out("wan"), counters, sas, hits }
}

/// So many cores that we may use.
fn cores(count: usize) -> String {
    let ours = core_affinity::get_core_ids().unwrap();
    let cores: Vec<String> = ours.iter().take(count).map(|core| core.id.to_string()).collect();
    assert_eq!(cores.len(), count, "{count} workers want as many cores");
    cores.join(",")
}

/// Label and hits of each rule that has a number in a policy.
pub(crate) fn numbered(policy: &shm::PolicyView) -> impl Iterator<Item = (Label, u64)> {
    (0..).map_while(|number| policy.rule(number))
}

/// Packets that left by each door: a wire, Linux, a drop, as part of another; or that wait in the gateway.
pub(crate) fn doors(counters: &CountersSnapshot) -> [u64; 6] {
    let ports = || [LAN, WAN].map(|port| counters.traffic(PortId::new(port).unwrap()));
    let sum = |count: fn(&shm::WorkerSnapshot) -> u64| counters.workers.iter().map(count).sum();
    [
        ports().iter().map(|port| port.tx_packets).sum(),
        ports().iter().map(|port| port.to_linux).sum(),
        counters.drops().values().sum(),
        sum(|worker| worker.merged),
        sum(|worker| worker.held),
        sum(|worker| worker.stored - worker.released),
    ]
}

/// Packets that the gateway made itself.
pub(crate) fn made(counters: &CountersSnapshot) -> u64 {
    counters.workers.iter().map(|worker| worker.made).sum()
}

pub(crate) fn received(counters: &CountersSnapshot) -> u64 {
    [LAN, WAN].map(|port| counters.traffic(PortId::new(port).unwrap()).rx_packets).iter().sum()
}
