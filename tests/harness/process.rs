//! Child processes that do not outlive this one, however it ends.

use std::{
    ffi::OsStr,
    io,
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
};

/// The command of a process that the kernel kills when this one dies, by SIGKILL too. Without
/// `setpriv` (it is part of Linux's util-linux) a plain command.
pub(crate) fn tethered(program: impl AsRef<OsStr>) -> Command {
    const DIE_WITH_PARENT: [&str; 2] = ["--pdeathsig", "KILL"];
    static SETPRIV: LazyLock<bool> = LazyLock::new(|| {
        let mut probe = Command::new("setpriv");
        probe.args(DIE_WITH_PARENT).arg("true").stdin(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !*SETPRIV {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(DIE_WITH_PARENT).arg("--").arg(program);
    command
}

/// Starts a process from a thread that lives as long as this process: to the kernel the parent is
/// the thread (prctl(2), `PR_SET_PDEATHSIG`), and the thread of a test ends with its test.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                // Who ordered is waiting for it.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    let orders = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    orders.send((command, answer)).expect("the spawner lives as long as the process");
    child.recv().expect("the spawner answers each order")
}

/// Sends a signal to a child that has not been waited for, so that its id is still its own.
pub(crate) fn signal(child: &Child, signal: &str) {
    let kill = Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
    assert!(kill.is_ok_and(|status| status.success()), "cannot send SIG{signal}");
}
