//! What a process uses, by `/proc`.

use std::{fs, time::Duration};

/// Ticks of `/proc/PID/stat` in a second: 100 on all of Linux's usual platforms (`getconf CLK_TCK`).
const TICKS: u64 = 100;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    cpu: Duration,
    resident_kib: u64,
    most_resident_kib: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The name, in brackets, may hold anything.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = |field: usize| -> u64 {
            fields.split_whitespace().nth(field - 3).unwrap().parse().unwrap()
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            cpu: Duration::from_millis((ticks(14) + ticks(15)) * 1000 / TICKS),
            resident_kib: kib("VmRSS:"),
            most_resident_kib: kib("VmHWM:"),
        }
    }

    pub(crate) fn cpu_since(&self, before: &Self) -> Duration {
        self.cpu.saturating_sub(before.cpu)
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        self.resident_kib as f64 / 1024.0
    }

    pub(crate) fn most_resident_mib(&self) -> f64 {
        self.most_resident_kib as f64 / 1024.0
    }
}
