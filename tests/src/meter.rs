//! What processes use, read from `/proc`.

use std::fs;

use anyhow::Context as _;

/// One tick of the counters in `/proc/<pid>/stat`. The kernel shows them in hundredths of a second on every Linux.
const TICK_MS: u64 = 10;

/// Processor time a process has used since it began, user and system, milliseconds. Goes in steps of 10.
///
/// # Errors
/// When there is no such process.
pub fn cpu_ms(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid}"))?;
    let fields = fields(&stat).context("the fields of a process")?;
    Ok((fields.user_ticks + fields.system_ticks) * TICK_MS)
}

/// Processor time of a process and of its children, those that have ended included, milliseconds. For a Postgres server and its backends.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn family_cpu_ms(parent: u32) -> anyhow::Result<u64> {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        let Some(fields) = fields(&stat) else {
            continue;
        };
        if fields.pid == parent {
            ticks += fields.user_ticks + fields.system_ticks + fields.ended_children_ticks;
        } else if fields.parent == parent {
            ticks += fields.user_ticks + fields.system_ticks;
        }
    }
    Ok(ticks * TICK_MS)
}

/// Memory of a process that is in RAM, KiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("the resident memory")?.parse()?)
}

struct Fields {
    pid: u32,
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
    ended_children_ticks: u64,
}

/// The name of a process, second in the line, may hold spaces and brackets.
fn fields(stat: &str) -> Option<Fields> {
    let (pid, rest) = stat.split_once(' ')?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let rest: Vec<&str> = rest.split(' ').collect();
    let number = |i: usize| rest.get(i)?.parse::<u64>().ok();
    Some(Fields {
        pid: pid.parse().ok()?,
        parent: rest.get(1)?.parse().ok()?,
        user_ticks: number(11)?,
        system_ticks: number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_process_is_called() {
        let line = "12 (a ) b) S 7 12 12 0 -1 4194560 1 0 0 0 250 31 4 5 20 0 3 0 99 100 200";
        let fields = fields(line).unwrap();
        assert_eq!((fields.pid, fields.parent), (12, 7));
        assert_eq!(
            (
                fields.user_ticks,
                fields.system_ticks,
                fields.ended_children_ticks
            ),
            (250, 31, 9)
        );
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let me = std::process::id();
        assert!(resident_kib(me).unwrap() > 1000);
        let before = cpu_ms(me).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while cpu_ms(me).unwrap() < before + 2 * TICK_MS {
            assert!(std::time::Instant::now() < deadline, "no time was counted");
        }
        assert!(family_cpu_ms(me).unwrap() >= before);
    }
}
