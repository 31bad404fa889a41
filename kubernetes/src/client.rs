//! The client of one API server.
//!
//! TLS is rustls with aws-lc-rs. The binary installs that provider for the process when it starts; where it did not
//! (a test), kube installs the same one with its first client.

use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

/// How long a TCP connect and TLS handshake may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request's bytes may wait for the socket.
const WRITE: Duration = Duration::from_secs(10);
/// How long an answer may stay silent. Watches end after at most 60 s and then start anew, so a connection that is
/// silent for longer leads nowhere. The watches themselves notice earlier; this is for every other request.
const READ: Duration = Duration::from_secs(75);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The pod's service account does not read.
    #[error("service account of this pod: {0}; is automountServiceAccountToken off?")]
    InCluster(#[source] InClusterError),
    /// The kubeconfig does not read, or has no such context.
    #[error("kubeconfig context {context:?}: {source}; see `kubectl config get-contexts`")]
    Kubeconfig {
        /// The context asked for; `(current)` for none.
        context: String,
        /// What is wrong.
        source: KubeconfigError,
    },
    /// The configuration was read, but its certificates or tokens do not make a client.
    #[error("client of API server {server}: {source}; are its certificates and tokens readable?")]
    Build {
        /// The server's URL.
        server: String,
        /// What is wrong.
        source: Box<kube::Error>,
    },
}

/// A client of the API server: of the named kubeconfig context, or, without one, of the cluster this pod runs in,
/// or else of the kubeconfig's current context.
///
/// Every answer is handed on as it is: nothing is repeated behind the caller's back. It calls itself `strait/VERSION`, gives up connecting after 5 s and reading after 75 s of silence, so that an API
/// server behind a black hole is noticed.
///
/// # Errors
/// [`ClientError`], naming the context or the server.
pub async fn client_for(context: Option<&str>) -> Result<Client, ClientError> {
    client_from(config_for(context).await?)
}

/// The same from a configuration that was made elsewhere.
///
/// # Errors
/// [`ClientError::Build`], naming the server.
pub fn client_from(mut config: Config) -> Result<Client, ClientError> {
    let server = config.cluster_url.to_string();
    tune(&mut config);
    Client::try_from(config).map_err(|source| ClientError::Build { server, source: Box::new(source) })
}

async fn config_for(context: Option<&str>) -> Result<Config, ClientError> {
    if context.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Config::incluster().map_err(ClientError::InCluster);
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Config::from_kubeconfig(&options)
        .await
        .map_err(|source| ClientError::Kubeconfig { context: context.unwrap_or("(current)").to_owned(), source })
}

fn tune(config: &mut Config) {
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(WRITE);
    config.read_timeout = Some(READ);
    // Otherwise the time a pooled connection stood idle would count against its next answer.
    config.reset_reader_on_write = true;
    // kube would hide 429, 503 and 504 behind up to 15 repetitions, and with them what they mean: a watch from a
    // revision that a restored etcd has not reached is answered 504. Whoever asks here tries again by a plan of its own.
    config.default_retry = false;
    let agent = http::HeaderValue::from_static(concat!("strait/", env!("CARGO_PKG_VERSION")));
    config.headers.push((http::header::USER_AGENT, agent));
}
