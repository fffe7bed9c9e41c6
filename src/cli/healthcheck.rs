//! `healthcheck`: asks the running daemon's admin port.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    ConfigArgs, FOUND, block_on, refuse, refuse_config,
    talk::{complain, say},
};
use crate::config::load;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ask whether it is ready for work (`/readyz`), not only alive (`/livez`)
    #[arg(long)]
    ready: bool,
}

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn run(args: &Args) -> ExitCode {
    let settings = match load(&args.config.layers()) {
        Ok((settings, _)) => settings,
        Err(problems) => return refuse_config(&problems),
    };
    if !settings.admin.enabled {
        return refuse("admin.enabled is false: there is no port to ask");
    }
    let mut address: SocketAddr = settings.admin.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = block_on(async { tokio::time::timeout(PATIENCE, ask(address, path)).await });
    let url = format!("http://{address}{path}");
    match answer {
        Ok(Ok(Ok((StatusCode::OK, text)))) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Ok(Ok((status, text)))) => unhealthy(&format!("{url}: {status}: {}", text.trim())),
        Ok(Ok(Err(problem))) => unhealthy(&format!(
            "{url}: {problem:#}; is the daemon running, with this admin.listen?"
        )),
        Ok(Err(_)) => unhealthy(&format!(
            "{url}: no answer within 3 s; is this the daemon's admin.listen, and is the machine \
             overloaded?"
        )),
        Err(problem) => unhealthy(&format!("cannot start the runtime: {problem}")),
    }
}

fn unhealthy(message: &str) -> ExitCode {
    complain(message);
    ExitCode::from(FOUND)
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request =
        Request::get(path).header("host", address.to_string()).body(Empty::<Bytes>::new())?;
    let exchange = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // Both to their end: the connection may close before the exchange has looked at its answer.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}
