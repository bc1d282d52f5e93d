//! Cores, memory and time: what makes latency uneven.

use super::check::{Check, Severity, chosen, number, read};

const GROUP: &str = "machine";
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const GOVERNOR: &str = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";

pub(super) fn checks() -> Vec<Check> {
    vec![clock(), governor(), quota(), huge_pages(), swap(), sync()]
}

fn clock() -> Check {
    let found = read(CLOCK);
    let cheap = [
        "tsc",
        "kvm-clock",
        "arch_sys_counter",
        "hyperv_clocksource_tsc_page",
    ];
    Check::new(GROUP, "clocksource", "where the kernel takes the time from")
        .severity(Severity::Warning)
        .found(
            "tsc",
            found.clone().unwrap_or_else(|| "unknown".to_owned()),
            found.map(|found| cheap.contains(&found.as_str())),
        )
        .why(
            "with another one, looking at the clock is a system call that takes a microsecond",
            "boot with clocksource=tsc tsc=reliable, or move to a host that has it",
        )
}

fn governor() -> Check {
    let found = read(GOVERNOR);
    Check::new(GROUP, "governor", "how the cores' clock speed is chosen")
        .severity(Severity::Info)
        .found(
            "performance",
            found
                .clone()
                .unwrap_or_else(|| "the host's business".to_owned()),
            found.map(|found| found == "performance"),
        )
        .why(
            "a core that was slowed down wakes late",
            "cpupower frequency-set -g performance",
        )
        .command("cpupower frequency-set -g performance")
}

fn quota() -> Check {
    let found = read("/sys/fs/cgroup/cpu.max");
    let limited = found.as_ref().map(|text| !text.starts_with("max"));
    Check::new(
        GROUP,
        "cpu-quota",
        "share of the cores that the control group allows",
    )
    .severity(Severity::Warning)
    .found(
        "no quota",
        match &found {
            Some(text) if limited == Some(true) => format!("{text} us"),
            _ => "no quota".to_owned(),
        },
        Some(limited != Some(true)),
    )
    .why(
        "a group that has used up its share stands still until the next period: p99.9 is ruined",
        "give whole cores (cpuset, --cpuset-cpus) instead of a quota",
    )
}

fn huge_pages() -> Check {
    let found = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = found.as_deref().and_then(chosen).map(str::to_owned);
    Check::new(GROUP, "huge-pages", "transparent huge pages")
        .severity(Severity::Info)
        .found(
            "madvise or never",
            chosen.clone().unwrap_or_else(|| "unknown".to_owned()),
            chosen.map(|chosen| chosen != "always"),
        )
        .why(
            "with `always`, the kernel now and then stops a thread to put a huge page together",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        )
        .command("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
}

fn swap() -> Check {
    let swaps = read("/proc/swaps").unwrap_or_default();
    let has_swap = swaps.lines().count() > 1;
    let swappiness = number("/proc/sys/vm/swappiness").unwrap_or(0);
    let current = match has_swap {
        true => format!("swap, swappiness {swappiness}"),
        false => "no swap".to_owned(),
    };
    Check::new(GROUP, "swap", "whether memory may go to disk")
        .severity(Severity::Warning)
        .found(
            "no swap, or swappiness 1",
            current,
            Some(!has_swap || swappiness <= 1),
        )
        .why(
            "a shard that waits for its memory to be read back serves nobody meanwhile",
            "sysctl -w vm.swappiness=1",
        )
        .command("sysctl -w vm.swappiness=1")
}

/// Whether the clock is kept in step. Only what can be seen without privileges or system calls of
/// our own: the marks and sockets of the usual services.
fn sync() -> Check {
    let marks = [
        "/run/systemd/timesync/synchronized",
        "/run/chrony/chronyd.pid",
        "/run/chronyd.pid",
        "/run/ntpd.pid",
        "/run/openntpd.pid",
    ];
    let found = marks
        .iter()
        .find(|mark| std::path::Path::new(mark).exists());
    Check::new(GROUP, "time-sync", "whether the clock is kept in step")
        .severity(Severity::Warning)
        .found(
            "a service that keeps time",
            found.map_or("none seen (a container has its host's)", |mark| mark),
            found.map(|_| true),
        )
        .why(
            "retention, and looking for records by time, go by the clock",
            "systemctl enable --now systemd-timesyncd, or chrony",
        )
        .command("systemctl enable --now systemd-timesyncd")
}
