//! How much of what a socket took has its peer not acknowledged yet (SIOCOUTQ).

use std::io::Error;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes in the socket's send queue, the unacknowledged ones included.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Result<u64, Error> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has TIOCOUTQ's number, writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(Error::last_os_error());
    }
    Ok(u64::try_from(bytes).unwrap_or(0))
}
