//! The floor of two hops: two raw relays with a TLS connection for each client's between them, certificates checked on both
//! ends. Strait's TLS library and provider, and nothing that knows HTTP.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

use crate::certificates::{AUTHORITY, CERTIFICATE, KEY, NAME};
use crate::poll::{LISTENER, Poll, Ready};

/// Which of the two relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// Takes plain connections and dials TLS.
    Near,
    /// Takes TLS connections and dials plain ones.
    Far,
}

/// A plain connection (odd numbers are its TLS side) and the TLS connection it is carried by.
struct Pair {
    plain: TcpStream,
    tls: TcpStream,
    session: Connection,
    /// Decrypted, and not written yet.
    pending: Vec<u8>,
    /// What is waited for: reading and writing, plain and TLS.
    wanted: [bool; 4],
}

/// Carries until it is killed. The folder holds the certificates.
pub fn relay(end: End, at: SocketAddr, to: SocketAddr, folder: &Path) -> Result<()> {
    let sessions = Sessions::load(end, folder)?;
    let (mut poll, listener) = Poll::on(at)?;
    let (mut open, mut next) = (HashMap::new(), 2);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for ready in poll.wait(None)? {
            if ready.number == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let upstream = TcpStream::connect(to)?;
                    let (plain, tls) = if end == End::Near { (client, upstream) } else { (upstream, client) };
                    for (side, number) in [(&plain, next), (&tls, next + 1)] {
                        side.set_nonblocking(true)?;
                        side.set_nodelay(true)?;
                        poll.add(side, number)?;
                    }
                    let session = sessions.begin()?;
                    let wanted = [true, false, true, false];
                    let mut pair = Pair { plain, tls, session, pending: Vec::new(), wanted };
                    if pair.send().is_some() && pair.want(&poll, next) {
                        open.insert(next, pair);
                    }
                    next += 2;
                }
                continue;
            }
            let number = ready.number & !1;
            let Some(pair) = open.get_mut(&number) else { continue };
            if pair.attend(ready, &mut buffer).is_none() || !pair.want(&poll, number) {
                open.remove(&number);
            }
        }
    }
}

impl Pair {
    /// Nothing when either side is over.
    fn attend(&mut self, ready: Ready, buffer: &mut [u8]) -> Option<()> {
        let of_tls = ready.number & 1 == 1;
        if ready.readable && of_tls && self.pending.is_empty() {
            self.decrypt(buffer)?;
        }
        if ready.readable && !of_tls && !self.session.wants_write() {
            let n = read(&mut self.plain, buffer)?;
            self.session.writer().write_all(&buffer[..n]).ok()?;
        }
        self.send()?;
        if !self.pending.is_empty() {
            match self.plain.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// Reads much at a time; by itself the library takes four KiB from a socket.
    fn decrypt(&mut self, buffer: &mut [u8]) -> Option<()> {
        let n = read(&mut self.tls, buffer)?;
        let mut records = &buffer[..n];
        while !records.is_empty() {
            self.session.read_tls(&mut records).ok()?;
            self.session.process_new_packets().ok()?;
            match self.session.reader().read_to_end(&mut self.pending) {
                Ok(_) => return None,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
        Some(())
    }

    fn send(&mut self) -> Option<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tls) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        Some(())
    }

    fn want(&mut self, poll: &Poll, number: u64) -> bool {
        let (encrypted, decrypted) = (self.session.wants_write(), !self.pending.is_empty());
        let wanted = [!encrypted, decrypted, !decrypted, encrypted];
        if wanted == self.wanted {
            return true;
        }
        self.wanted = wanted;
        let [plain_in, plain_out, tls_in, tls_out] = wanted;
        poll.want(&self.plain, number, plain_in, plain_out).is_ok()
            && poll.want(&self.tls, number + 1, tls_in, tls_out).is_ok()
    }
}

/// Nothing when the stream has ended.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match stream.read(buffer) {
        Ok(0) => None,
        Ok(n) => Some(n),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

enum Sessions {
    Near(Arc<ClientConfig>, ServerName<'static>),
    Far(Arc<ServerConfig>),
}

impl Sessions {
    fn load(end: End, folder: &Path) -> Result<Self> {
        let (provider, roots) = (Arc::new(aws_lc_rs::default_provider()), roots(folder)?);
        let chain = CertificateDer::pem_file_iter(folder.join(CERTIFICATE))?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(folder.join(KEY))?;
        if end == End::Near {
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
            let configuration = builder.with_root_certificates(roots).with_client_auth_cert(chain, key)?;
            return Ok(Self::Near(Arc::new(configuration), ServerName::try_from(NAME)?));
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Self::Far(Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key)?)))
    }

    fn begin(&self) -> Result<Connection> {
        Ok(match self {
            Self::Near(configuration, name) => ClientConnection::new(configuration.clone(), name.clone())?.into(),
            Self::Far(configuration) => ServerConnection::new(configuration.clone())?.into(),
        })
    }
}

fn roots(folder: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let file = folder.join(AUTHORITY);
    roots.add(CertificateDer::from_pem_file(&file).with_context(|| file.display().to_string())?)?;
    Ok(roots)
}
