//! Whose connection it is: the program at the other end, by what the kernel tells of sockets and processes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// Whether `peer`, an IPv4 address of a connection on this machine, belongs to a process of this name.
pub(crate) fn is_of(program: &str, peer: SocketAddr) -> bool {
    let Some(socket) = inode_of(peer) else { return false };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_that_name =
        |process: &Path| fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == program);
    entries.filter(|process| of_that_name(process)).any(|process| holds(&process, &socket))
}

/// The kernel's number of the socket that is bound to `local`.
fn inode_of(local: SocketAddr) -> Option<String> {
    let SocketAddr::V4(local) = local else { return None };
    // As proc(5) writes it: the address as a number in the machine's own order of bytes.
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(local.ip().octets()), local.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let row = table.lines().find(|row| row.split_whitespace().nth(1) == Some(&wanted))?;
    row.split_whitespace().nth(9).map(str::to_owned)
}

fn holds(process: &Path, inode: &str) -> bool {
    let socket = format!("socket:[{inode}]");
    let files = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == socket.as_str())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_belongs_to_the_process_that_made_it_and_to_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("its address")).expect("it listens");
        let own = stream.local_addr().expect("its own address");
        let name = fs::read_to_string("/proc/self/comm").expect("this process has a name");
        assert!(is_of(name.trim(), own));
        assert!(!is_of("mongod", own));
    }
}
