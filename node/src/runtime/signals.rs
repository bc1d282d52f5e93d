//! SIGTERM and SIGINT stop the node; a second one ends it at once.
//!
//! A thread of its own waits for them and tells by a byte in a socket pair, which a shard can poll.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Exit code of a node that was told twice.
const INTERRUPTED: i32 = 130;

/// Starts to watch; the descriptor becomes readable with the first signal.
pub fn watch() -> io::Result<OwnedFd> {
    let (mut tell, told) = UnixStream::pair()?;
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for (count, _) in signals.forever().enumerate() {
                if count > 0 {
                    std::process::exit(INTERRUPTED);
                }
                // The other end lives as long as the node; without it there is nothing to stop.
                let _no_node = tell.write_all(&[1]);
            }
        })?;
    Ok(told.into())
}
