//! Consumer groups of KIP-848: the coordinator assigns, members reconcile with their heartbeats.
//!
//! ```text
//! heartbeat --> Draft (a copy of the group, made when it first changes) --> changes, each a record
//!   member joins, changes or leaves --> group epoch      (`draft.rs`)
//!   group epoch ahead ----------------> target assignment (`assign.rs`, `uniform.rs`, `range.rs`)
//!   member behind its target ---------> current assignment: revoke, wait, take (`reconcile.rs`)
//! ```
//!
//! All state is logged; a `Change` is the one form of it that is written, read and applied, so what is
//! proposed, replayed and replayed after a crash cannot differ. Beside it there are only sessions (`watch.rs`).
//!
//! Invariant: no partition is in the current assignment (assigned or waiting to be revoked) of two members.
//!
//! Deliberately absent: members that use the classic protocol in such a group, and thereby its migration while it has
//! members; racks, which Kafka's assignors ignore as well.

mod state;
mod change;
mod draft;
mod subscription;
mod range;
mod uniform;
mod assign;
mod reconcile;
mod watch;
mod heartbeat;
mod leave;
mod describe;

pub use self::assign::Assignor;
pub(super) use self::change::{Change, read};
pub(super) use self::describe::{TYPE, bury};
pub use self::state::{Assignment, ConsumerGroup, ConsumerMember, Current, Epochs, Phase};
pub use self::state::{Regex, State, Subscription};
pub(super) use self::watch::Watches;
