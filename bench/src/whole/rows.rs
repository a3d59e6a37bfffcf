//! The rows of the single measurements, as their JSON has them: what a report shows, and no more.

use serde::Deserialize;
use serde_json::Value;

/// Clocks per packet of one case of one implementation, in whatever was measured.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// Unique in its part of a run.
    pub(super) name: String,
    pub(super) clocks: f64,
    /// How far the rounds were apart, as a part of their median.
    pub(super) spread: f64,
    /// Clocks of something else in the same case, which moves when the machine does.
    pub(super) yardstick: f64,
}

/// A row that has a figure, unless the case could not be measured.
pub(super) trait Figures {
    fn figure(&self) -> Option<Figure>;
}

/// Of `espalier-bench gcm`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Gcm {
    #[serde(rename = "impl")]
    pub(super) who: String,
    pub(super) op: String,
    pub(super) key_bits: u32,
    pub(super) payload: Value,
    pub(super) keys: u64,
    pub(super) clocks: f64,
    pub(super) ratio: f64,
    spread: f64,
    pace: f64,
}

impl Figures for Gcm {
    fn figure(&self) -> Option<Figure> {
        let (who, op, bits, keys) = (&self.who, &self.op, self.key_bits, self.keys);
        let name = format!("{who} {op}-{}-{keys}key-aes{bits}", plain(&self.payload));
        Some(Figure { name, clocks: self.clocks, spread: self.spread, yardstick: self.pace })
    }
}

/// Of `espalier-bench acl`. What could not be measured has no clocks.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Acl {
    #[serde(rename = "impl")]
    pub(super) who: String,
    pub(super) set: String,
    pub(super) rules: u64,
    pub(super) trace: String,
    pub(super) burst: u32,
    pub(super) clocks: Option<f64>,
    pub(super) ratio: Option<f64>,
    pub(super) build_ms: Option<f64>,
    pub(super) bytes: u64,
    spread: Option<f64>,
    pace: f64,
}

impl Acl {
    /// The set's shape, without how many rules it has.
    pub(super) fn shape(&self) -> &str {
        self.set.split('-').next().unwrap_or_default()
    }
}

impl Figures for Acl {
    fn figure(&self) -> Option<Figure> {
        let name = format!("{} {}-{}-{}", self.who, self.set, self.trace, self.burst);
        Some(Figure { name, clocks: self.clocks?, spread: self.spread?, yardstick: self.pace })
    }
}

/// Of `espalier-bench gateway`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Gateway {
    pub(super) case: String,
    pub(super) size: Value,
    pub(super) sas: u32,
    pub(super) key_bits: u32,
    pub(super) mpps: f64,
    pub(super) gbps: f64,
    pub(super) clocks: f64,
    pub(super) port_clocks: f64,
    pub(super) spread: f64,
    /// Clocks per packet by stage.
    #[serde(default)]
    pub(super) stages: serde_json::Map<String, Value>,
    pub(super) crypto: String,
    /// What was measured beside plain AES-GCM in IPv4, if it was that.
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

impl Gateway {
    /// The case without its size.
    pub(super) fn kind(&self) -> String {
        let mut kind = self.case.clone();
        for name in ["suite", "headers"] {
            if let Some(value) = self.others.get(name) {
                kind += &format!(" {}", plain(value));
            }
        }
        if self.sas > 0 {
            kind += &format!(" {} SA{}", self.sas, if self.sas == 1 { "" } else { "s" });
        }
        if self.key_bits > 0 {
            kind += &format!(" {} bits", self.key_bits);
        }
        if let Some(workers) = self.others.get("workers") {
            kind += &format!(" {} workers", plain(workers));
        }
        kind
    }
}

impl Figures for Gateway {
    fn figure(&self) -> Option<Figure> {
        let name = format!("{} {}", self.kind(), plain(&self.size));
        Some(Figure { name, clocks: self.clocks, spread: self.spread, yardstick: self.port_clocks })
    }
}

/// Of `espalier-bench rings`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rings {
    pub(super) ring: String,
    pub(super) case: String,
    pub(super) size: Value,
    pub(super) sas: u32,
    pub(super) load: Value,
    pub(super) mpps: f64,
    pub(super) gbps: f64,
    pub(super) clocks: f64,
    pub(super) busy: f64,
    pub(super) burst: f64,
    /// Not of the peak.
    pub(super) latency: Option<Latency>,
}

/// Percentiles in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Rings {
    /// The case without its load.
    pub(super) fn kind(&self) -> String {
        let sas = match self.sas {
            0 => String::new(),
            1 => " 1 SA".to_owned(),
            many => format!(" {many} SAs"),
        };
        format!("{} {} {}{sas}", self.ring, self.case, plain(&self.size))
    }
}

/// A text or number as people read it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
