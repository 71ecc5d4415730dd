//! The sensor: eBPF programs, event thread, tables of processes and containers.

use std::sync::atomic::AtomicU64;

use sensor_ebpf::config::ForeignCalls;

use crate::engine::stats::{Stats, Tables, read};
use crate::probe::trial::Trial;
use crate::probe::{Counted, EventCounters};
use crate::state::{containers, processes, users};
use crate::telemetry::{Exposition, Kind};

/// The programs of one event type.
pub fn probe(event: &str, counters: EventCounters, out: &mut Exposition) {
    let EventCounters { seen, filtered, lost_full, lost_build } = counters;
    let label = [("event", event)];
    let help = "Records that the eBPF programs handed to user space.";
    out.family("falconet_probe_events_total", Kind::Counter, help).sample(&label, seen);
    let help = "Events that the eBPF programs dropped because nothing wants them.";
    out.family("falconet_probe_filtered_total", Kind::Counter, help).sample(&label, filtered);
    let help = "Events lost in the kernel, by reason.";
    let lost = out.family("falconet_probe_lost_total", Kind::Counter, help);
    for (reason, count) in [("full", lost_full), ("build", lost_build)] {
        lost.sample(&[("event", event), ("reason", reason)], count);
    }
}

/// Calls that no program understands, and whether the programs' counters can be read.
pub fn probe_itself(counters: &Counted, out: &mut Exposition) {
    let mut sum = ForeignCalls::default();
    // Counters that cannot be read are not shown: to Prometheus a gap is no fall.
    if let Some(by_cpu) = counters.foreign() {
        for ForeignCalls { compat, x32, compat_tgid: _, x32_tgid: _ } in by_cpu {
            sum.compat = sum.compat.saturating_add(compat);
            sum.x32 = sum.x32.saturating_add(x32);
        }
        let help = "System calls that no rule sees because the probe has no table for their interface.";
        out.family("falconet_probe_foreign_calls_total", Kind::Counter, help)
            .sample(&[("abi", "compat")], sum.compat)
            .sample(&[("abi", "x32")], sum.x32);
    }
    let help = "Reads of the eBPF programs' counters that failed; meanwhile the last good ones are shown.";
    out.counter("falconet_probe_counter_failures_total", help, counters.failures());
}

/// How the trial of the hooks at the start ended.
pub fn hooks(trial: &Trial, out: &mut Exposition) {
    let Trial { alive, dead, untried } = trial;
    let help = "Hooks by how they fared when the sensor fired each of them at its start.";
    out.family("falconet_probe_hooks", Kind::Gauge, help)
        .sample(&[("state", "alive")], alive.len())
        .sample(&[("state", "dead")], dead.len())
        .sample(&[("state", "untried")], untried.len());
    for event in dead {
        let help = "1 for each hook that was fired at the start and did not come back.";
        out.family("falconet_probe_hook_dead", Kind::Gauge, help).sample(&[("event", event.program)], 1);
    }
}

/// The event thread and what it keeps.
pub fn engine(stats: &Stats, out: &mut Exposition) {
    let Stats {
        records,
        judged,
        held_for_process,
        held_for_container,
        held_for_names,
        hold_full,
        last_event,
        alerts,
        alerts_left_out,
        alerts_lost,
        malformed,
        cut,
        tables: _,
    } = stats;
    let counters: [(&str, &str, &AtomicU64); 7] = [
        ("records", "Records taken from the lanes.", records),
        ("judged", "Events that rules were asked about.", judged),
        ("hold_full", "Waits that were ended because too many events waited.", hold_full),
        ("alerts", "Alerts raised.", alerts),
        ("alerts_left_out", "Alerts that were not raised because a rule fired too often.", alerts_left_out),
        ("alerts_lost", "Alerts lost because the alert log could not keep up.", alerts_lost),
        ("malformed", "Records that made no sense.", malformed),
    ];
    for (name, help, counter) in counters {
        out.counter(&format!("falconet_engine_{name}_total"), help, read(counter));
    }
    let help = "Records of which a part was not all there, by event and part.";
    let family = out.family("falconet_engine_cut_total", Kind::Counter, help);
    for (event, part, count) in cut.read() {
        family.sample(&[("event", event), ("part", part)], count);
    }
    let held = [("process", held_for_process), ("container", held_for_container), ("names", held_for_names)];
    let help = "Events that waited: for what /proc tells of their process, for their container's metadata, for names of users.";
    let family = out.family("falconet_engine_held_total", Kind::Counter, help);
    for (what, counter) in held {
        family.sample(&[("for", what)], read(counter));
    }
    let help = "Time of the newest event that was judged; 0 before the first.";
    out.gauge("falconet_engine_last_event_timestamp_seconds", help, read(last_event) / 1_000_000_000);
    let Tables { processes, containers, users } = stats.tables();
    tables_processes(processes, out);
    tables_containers(containers, out);
    tables_users(users, out);
}

fn tables_processes(stats: processes::Stats, out: &mut Exposition) {
    let processes::Stats {
        entries,
        dead,
        bytes,
        asked,
        evicted_dead,
        evicted_live,
        healed,
        not_healed,
        not_asked,
        unanswered,
    } = stats;
    out.gauge("falconet_processes", "Processes known.", entries);
    let help = "Of the processes known, those that ended and are kept for records that come late.";
    out.gauge("falconet_processes_dead", help, dead);
    out.gauge("falconet_processes_bytes", "Memory of the table of processes.", bytes);
    let help = "Processes thrown out because their table was full.";
    out.family("falconet_processes_evicted_total", Kind::Counter, help)
        .sample(&[("state", "dead")], evicted_dead)
        .sample(&[("state", "live")], evicted_live);
    let help = "Processes that no record had told of, looked for in /proc.";
    out.family("falconet_processes_healed_total", Kind::Counter, help)
        .sample(&[("result", "found")], healed)
        .sample(&[("result", "not_found")], not_healed);
    let help = "Processes that are looked for in /proc now.";
    out.gauge("falconet_processes_asked", help, asked);
    let help = "Unknown processes that were not looked for in /proc because there were too many.";
    out.counter("falconet_processes_not_asked_total", help, not_asked);
    let help = "Unknown processes that /proc told nothing of in time; their events went out without.";
    out.counter("falconet_processes_unanswered_total", help, unanswered);
}

fn tables_containers(stats: containers::Stats, out: &mut Exposition) {
    let containers::Stats {
        containers,
        pending,
        cgroups,
        incomplete,
        not_asked,
        cgroups_resolved,
        cgroups_dropped,
        cgroups_not_asked,
        made_by_hand,
        not_remembered,
        members,
        members_dropped,
    } = stats;
    out.gauge("falconet_containers", "Containers known.", containers);
    let help = "Containers whose metadata is being read.";
    out.gauge("falconet_containers_pending", help, pending);
    // Its name is older than the table's own metrics.
    let help = "Containers that went out without metadata.";
    out.counter("falconet_engine_incomplete_total", help, incomplete);
    let help = "Containers whose metadata was not asked for because the queue to its reader was full.";
    out.counter("falconet_containers_not_asked_total", help, not_asked);
    out.gauge("falconet_cgroups", "Cgroups known.", cgroups);
    let help = "Cgroups found by their id because no record had told of them.";
    out.counter("falconet_cgroups_resolved_total", help, cgroups_resolved);
    let help = "Cgroups that are not kept because their table was full.";
    out.counter("falconet_cgroups_dropped_total", help, cgroups_dropped);
    let help =
        "Cgroups that were not looked up because there were too many; their events count as the host's.";
    out.counter("falconet_cgroups_not_asked_total", help, cgroups_not_asked);
    let help = "Cgroups that are named like a container's and are none's.";
    out.counter("falconet_cgroups_made_by_hand_total", help, made_by_hand);
    let help = "Containers that rules may see as new after a restart because too many are remembered.";
    out.counter("falconet_containers_not_remembered_total", help, not_remembered);
    out.gauge("falconet_container_processes", "Processes known to be in a container.", members);
    let help = "Processes of containers that were not remembered because their table was full; where the cgroup does not \
                name the container, their events count as the host's.";
    out.counter("falconet_container_processes_dropped_total", help, members_dropped);
}

fn tables_users(stats: users::Stats, out: &mut Exposition) {
    let users::Stats { scopes, bytes, evicted, read, not_read, not_asked, unanswered } = stats;
    out.gauge("falconet_names_namespaces", "Mount namespaces whose users and groups are known.", scopes);
    out.gauge("falconet_names_bytes", "Memory of the names of users and groups.", bytes);
    let help = "Mount namespaces whose users and groups were thrown out because there were too many.";
    out.counter("falconet_names_evicted_total", help, evicted);
    let help = "Looks at the passwd and group files of a mount namespace.";
    out.family("falconet_names_read_total", Kind::Counter, help)
        .sample(&[("result", "read")], read)
        .sample(&[("result", "out_of_reach")], not_read);
    let help = "Mount namespaces whose users and groups were not looked at because there were too many.";
    out.counter("falconet_names_not_asked_total", help, not_asked);
    let help =
        "Mount namespaces whose users and groups were not there in time; their events went out without.";
    out.counter("falconet_names_unanswered_total", help, unanswered);
}
