//! Producer state: who wrote what last, and which transactions are open. Pure.
