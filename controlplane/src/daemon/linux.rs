//! What the configuration wants of Linux: mirror TAPs and static routes.

use crate::forwarding::Mirrors;
use crate::kernel::facts::Facts;
use crate::kernel::setup::{self, Mirror, StaticRoute, Target};
use crate::kernel::{KernelError, monitor};
use crate::plan::Plan;
use config::Config;
use model::Prefix;
use rtnetlink::Handle;
use std::collections::BTreeSet;

/// The mirror TAPs that Linux has now.
pub(super) fn mirrors(plan: &Plan, facts: &Facts) -> Mirrors {
    let ports = plan.ports.iter();
    ports.filter_map(|(port, attach)| Some((facts.link_named(attach.name.as_str())?, port.get()))).collect()
}

fn wanted_mirrors(config: &Config) -> Vec<Mirror> {
    let mirror = |interface: &config::Interface| Mirror {
        name: interface.linux_name.to_string(),
        addresses: interface
            .addresses
            .iter()
            .map(|&prefix| Prefix::V4(prefix))
            .chain(interface.addresses6.iter().map(|&prefix| Prefix::V6(prefix)))
            .collect(),
        mtu: mirror_mtu(interface),
        up: !interface.shutdown,
    };
    config.interfaces().iter().map(mirror).collect()
}

/// Linux knows one MTU a link: that of IPv4, but no less than IPv6 wants where it is on.
fn mirror_mtu(interface: &config::Interface) -> u16 {
    let least = if interface.addresses6.is_empty() { 0 } else { interface.mtu.min(1280) };
    interface.mtu4.map_or(interface.mtu, |mtu| mtu.max(least))
}

/// The static routes, but those out of an interface that is shut down, which Linux would not take.
fn wanted_routes(config: &Config) -> BTreeSet<StaticRoute> {
    let route = |route: &config::StaticRoute| {
        let target = match &route.target {
            config::Target::Gateway(gateway) => Target::Gateway(*gateway),
            config::Target::Interface { name, gateway } => {
                let interface = config.interface(name.as_str()).filter(|interface| !interface.shutdown)?;
                Target::Link(interface.linux_name.to_string(), *gateway)
            }
            config::Target::Null => Target::Blackhole,
        };
        Some(StaticRoute { prefix: route.prefix, metric: u32::from(route.distance), target })
    };
    config.routes().iter().filter_map(route).collect()
}

/// Brings Linux to what is wanted, as far as it goes. Returns what it knows then, and what could not be done.
pub(super) async fn arrange(
    handle: &Handle,
    config: &Config,
) -> Result<(Facts, Vec<KernelError>), KernelError> {
    let facts = monitor::dump(handle).await?;
    let ours = setup::ours(handle, &facts).await?;
    let mut failures = setup::mirrors(handle, &facts, &ours, &wanted_mirrors(config)).await;
    let wanted = wanted_routes(config);
    let failed = setup::routes(handle, &facts, &ours, &wanted).await;
    failures.extend(failed.into_iter().map(|(_, error)| error));
    Ok((monitor::dump(handle).await?, failures))
}

/// Brings the static routes alone to what is wanted: Linux forgets them with the link that they leave by.
pub(super) async fn arrange_routes(
    handle: &Handle,
    config: &Config,
    facts: &Facts,
) -> Result<bool, KernelError> {
    let ours = setup::ours(handle, facts).await?;
    Ok(setup::routes(handle, facts, &ours, &wanted_routes(config)).await.is_empty())
}
