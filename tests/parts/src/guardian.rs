//! A small process that ends the parts when the test process could not: killed, a test ends nothing by itself.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Reads `+PID` and `-PID` until there is nobody left who writes, which is when the test process is gone, however it went.
const WATCH: &str = r#"
watched=" "
while read -r line; do
    pid=${line#?}
    case $line$watched in
        +*) watched="$watched$pid " ;;
        -*" $pid "*) watched="${watched%%" $pid "*} ${watched#*" $pid "}" ;;
    esac
done
[ "$watched" = " " ] || kill -KILL $watched
"#;

/// Names a process that is to end with this one.
pub(crate) fn watch(pid: u32) {
    tell('+', pid);
}

/// Takes that back: the process has ended, and its number may soon be another's.
pub(crate) fn forget(pid: u32) {
    tell('-', pid);
}

fn tell(sign: char, pid: u32) {
    writeln!(guardian(), "{sign}{pid}").expect("the guardian listens as long as this process lives");
}

#[expect(clippy::zombie_processes, reason = "it outlives this process, which is what it is for")]
fn guardian() -> MutexGuard<'static, ChildStdin> {
    static GUARDIAN: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let start = || {
        let mut shell = Command::new("sh");
        // Whoever ends the group of this process is not to end this one before it has done its work.
        shell.process_group(0);
        shell.args(["-c", WATCH]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("every system has a shell");
        Mutex::new(shell.stdin.take().expect("it is piped"))
    };
    // A line is written in one piece or not at all.
    GUARDIAN.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner)
}
