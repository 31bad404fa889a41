//! A reverse proxy on the pingora crates: one thread, one upstream, nothing else. `LISTEN UPSTREAM h1|h2`.

use std::process::ExitCode;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct ToPods {
    address: String,
    /// Pods speak HTTP/2 without TLS.
    h2: bool,
}

#[async_trait]
impl ProxyHttp for ToPods {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.address.as_str(), false, String::new());
        if self.h2 {
            peer.options.set_http_version(2, 2);
            peer.options.max_h2_streams = 100;
        }
        Ok(Box::new(peer))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, address, version] = arguments.as_slice() else {
        eprintln!("usage: strait-compare-pingora LISTEN UPSTREAM h1|h2");
        return ExitCode::from(2);
    };
    let configuration = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: 4096,
        // What is under way when the comparison ends is of no interest.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let pods = ToPods { address: address.clone(), h2: version == "h2" };
    let mut proxy = http_proxy_service(&server.configuration, pods);
    if let Some(logic) = proxy.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        logic.server_options = Some(options);
    }
    proxy.add_tcp(listen);
    server.add_service(proxy);
    server.run_forever()
}
