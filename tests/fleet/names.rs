//! DNS over real sockets: by hand, and by `dig` where it is installed.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::daemon::Daemon;
use crate::process::skip;
use crate::wait;
use crate::world::World;

const A: u16 = 1;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NAME: &str = "web.shop.svc.clusterset.local";

/// What an answer says, as far as these tests look.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub rcode: u8,
    pub authoritative: bool,
    /// Types of the records of the answer section.
    pub answer: Vec<u16>,
    /// Types of the records of the authority section.
    pub authority: Vec<u16>,
    /// The addresses of the answer section's A records.
    pub addresses: Vec<Ipv4Addr>,
}

fn question(name: &str, record_type: u16) -> Vec<u8> {
    let mut message = vec![0x5a, 0x17, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, record_type.to_be_bytes()[0], record_type.to_be_bytes()[1], 0, 1]);
    message
}

/// Reads one answer; panics on what no server may send.
struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl Reader<'_> {
    fn number(&mut self) -> u16 {
        self.at += 2;
        u16::from_be_bytes([self.message[self.at - 2], self.message[self.at - 1]])
    }

    fn name(&mut self) {
        loop {
            match self.message[self.at] {
                0 => return self.at += 1,
                pointer if pointer >= 0xc0 => return self.at += 2,
                length => self.at += 1 + usize::from(length),
            }
        }
    }

    fn records(&mut self, count: u16) -> Vec<(u16, Vec<u8>)> {
        let mut records = Vec::new();
        for _ in 0..count {
            self.name();
            let record_type = self.number();
            self.at += 6;
            let length = usize::from(self.number());
            records.push((record_type, self.message[self.at..self.at + length].to_vec()));
            self.at += length;
        }
        records
    }
}

fn read(message: &[u8]) -> Reply {
    let mut reader = Reader { message, at: 0 };
    assert_eq!(reader.number(), 0x5a17, "the id of the question");
    let flags = reader.number();
    assert!(flags & 0x8000 != 0, "an answer");
    let counts = [reader.number(), reader.number(), reader.number(), reader.number()];
    for _ in 0..counts[0] {
        reader.name();
        reader.at += 4;
    }
    let (answer, authority) = (reader.records(counts[1]), reader.records(counts[2]));
    let addresses =
        answer.iter().filter(|(t, _)| *t == A).map(|(_, data)| Ipv4Addr::from(<[u8; 4]>::try_from(&data[..]).unwrap()));
    Reply {
        rcode: flags.to_be_bytes()[1] & 15,
        authoritative: flags & 0x0400 != 0,
        addresses: addresses.collect(),
        answer: answer.into_iter().map(|(t, _)| t).collect(),
        authority: authority.into_iter().map(|(t, _)| t).collect(),
    }
}

/// Asks until an answer comes: a datagram may be lost, here by a full buffer.
pub async fn ask_udp(at: SocketAddr, name: &str, record_type: u16) -> Reply {
    wait::until(&format!("an answer to {name} over UDP"), async || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.send_to(&question(name, record_type), at).await.ok()?;
        let mut buffer = [0; 1500];
        let received = tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await.ok()?.ok()?;
        Some(read(&buffer[..received]))
    })
    .await
}

pub async fn ask_tcp(at: SocketAddr, name: &str, record_type: u16) -> Reply {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let question = question(name, record_type);
    stream.write_u16(question.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    read(&answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_answered_over_udp_and_tcp() {
    let mut world = World::new(98, &["us-west", "us-east"]);
    let daemons = world.start_all().await;
    let west = &daemons[0];
    let (dns, address) = (west.site.dns(), west.site.address());
    let cases = [
        (NAME, A, 0, true, vec![A], vec![]),
        ("WEB.Shop.svc.clusterset.LOCAL", A, 0, true, vec![A], vec![]),
        (NAME, AAAA, 0, true, vec![], vec![SOA]),
        ("_http._tcp.web.shop.svc.clusterset.local", SRV, 0, true, vec![SRV], vec![]),
        ("nothing.shop.svc.clusterset.local", A, 3, true, vec![], vec![SOA]),
        ("shop.svc.clusterset.local", A, 0, true, vec![], vec![SOA]),
        ("example.org", A, 5, false, vec![], vec![]),
        ("web.shop.svc.cluster.local", A, 5, false, vec![], vec![]),
    ];
    for (name, record_type, rcode, authoritative, answer, authority) in cases {
        let addresses = if answer == [A] { vec![address] } else { Vec::new() };
        let expected = Reply { rcode, authoritative, answer, authority, addresses };
        assert_eq!(ask_udp(dns, name, record_type).await, expected, "{name} over UDP");
        assert_eq!(ask_tcp(dns, name, record_type).await, expected, "{name} over TCP");
    }
    dig(west);
}

/// The tool that people use says the same.
fn dig(west: &Daemon) {
    let (dns, address) = (west.site.dns(), west.site.address().to_string());
    let run = |arguments: &[&str]| {
        let (ip, port) = (format!("@{}", dns.ip()), dns.port().to_string());
        let base = [ip.as_str(), "-p", port.as_str(), "+tries=3", "+time=5"];
        let out = Command::new("dig").args(base).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let Some(plain) = run(&[NAME, "A"]) else {
        skip("dig is not installed (Debian package bind9-dnsutils): DNS was asked by hand alone");
        return;
    };
    assert!(plain.contains("status: NOERROR") && plain.contains(&address), "{plain}");
    assert!(!plain.contains("Got bad packet") && !plain.contains("extra bytes"), "{plain}");
    for (arguments, wanted) in [
        (&[NAME, "A", "+tcp"][..], &["status: NOERROR", address.as_str(), "(TCP)"][..]),
        (&[NAME, "AAAA"], &["status: NOERROR", "ANSWER: 0", "SOA"]),
        (&["nothing.shop.svc.clusterset.local"], &["status: NXDOMAIN", "SOA"]),
        (&["example.org"], &["status: REFUSED"]),
        (&["_http._tcp.web.shop.svc.clusterset.local", "SRV"], &["status: NOERROR", "8080"]),
        (&[NAME, "A", "+norec", "+nocookie", "+bufsize=512"], &["status: NOERROR", &address]),
    ] {
        let said = run(arguments).unwrap();
        assert!(wanted.iter().all(|w| said.contains(w)), "{arguments:?} lacks one of {wanted:?}: {said}");
    }
}
