//! What the server uses meanwhile: from `/proc` for processes of this machine, from `/metrics` for one elsewhere.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::param::{clock_ticks_per_second, page_size};

/// Where to look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probe {
    /// Processes of the server on this machine; what they use is added up.
    pub(crate) pids: Vec<u32>,
    /// `http://HOST:PORT/metrics` of a server elsewhere.
    pub(crate) metrics: Option<String>,
}

/// What was used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processor time, in seconds.
    pub(crate) cpu: f64,
    /// Resident memory, in bytes.
    pub(crate) memory: f64,
}

impl Probe {
    /// Looks once; `None` when nothing was named to look at.
    ///
    /// # Errors
    /// What could not be read, in words for people.
    pub(crate) fn look(&self) -> Result<Option<Usage>, String> {
        if !self.pids.is_empty() {
            let each = self.pids.iter().map(|pid| process(&pid.to_string()));
            let sum = each.reduce(|sum, more| {
                let (sum, more) = (sum?, more?);
                Ok(Usage { cpu: sum.cpu + more.cpu, memory: sum.memory + more.memory })
            });
            return sum.transpose();
        }
        self.metrics.as_deref().map(from_metrics).transpose()
    }
}

/// What this program itself has used.
pub(crate) fn own() -> Usage {
    process("self").unwrap_or_default()
}

fn process(pid: &str) -> Result<Usage, String> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}; is there still a process {pid}?"))
    };
    let stat = read("stat")?;
    // The name before it may hold anything, but no closing parenthesis comes after its own (proc(5)).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime are fields 14 and 15, counted from the process id; the third is the first after the name.
    let cpu = (number(11) + number(12)) / clock_ticks_per_second() as f64;
    let pages: f64 = read("statm")?.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    Ok(Usage { cpu, memory: pages * page_size() as f64 })
}

fn from_metrics(url: &str) -> Result<Usage, String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("{url}: {why}; expected http://HOST:PORT/metrics of a Sealwire node");
    let rest = url.strip_prefix("http://").ok_or_else(|| wrong(&"not http"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, "metrics"));
    let page = get(host, path).map_err(|error| wrong(&error))?;
    let value = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name) && line.as_bytes().get(name.len()) == Some(&b' '));
        let value = line.and_then(|line| line[name.len()..].trim().parse().ok());
        value.ok_or_else(|| wrong(&format_args!("no {name}")))
    };
    Ok(Usage { cpu: value("process_cpu_seconds_total")?, memory: value("process_resident_memory_bytes")? })
}

fn get(host: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_process_of_this_machine_has_memory_and_a_missing_one_is_named() {
        let probe = Probe { pids: vec![std::process::id()], metrics: None };
        assert!(probe.look().unwrap().unwrap().memory > 100_000.0);
        let gone = Probe { pids: vec![std::process::id(), u32::MAX], metrics: None };
        assert!(gone.look().unwrap_err().contains("4294967295"));
        assert_eq!(Probe::default().look(), Ok(None));
    }

    #[test]
    fn a_page_of_metrics_says_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let page = "# HELP x\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 2e6\n";
            stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{page}").as_bytes()).unwrap();
        });
        let probe = Probe { pids: Vec::new(), metrics: Some(url) };
        assert_eq!(probe.look(), Ok(Some(Usage { cpu: 1.5, memory: 2e6 })));
        server.join().unwrap();
    }
}
