//! The admin port: metrics and health for machines. Requests and answers here, sockets in `net`.

pub mod health;
pub mod http;
