//! All PyO3 code and nothing else: [`handler`] and [`ledger`] take records in, [`record`] and its companions encode them,
//! [`settings`] reads configuration, [`module`] holds the functions.

mod attach;
mod bill;
mod cost;
mod encode;
mod exception;
mod handler;
mod keys;
mod ledger;
mod message;
mod mirror;
mod module;
mod names;
mod objects;
mod parts;
mod record;
mod settings;
mod structures;
mod task;
mod text;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::handler::NativeHandler;
    #[pymodule_export]
    use super::ledger::{encode_cost, log_cost, set_cost_handler, set_cost_opener};
    #[pymodule_export]
    use super::module::{
        encode_record, flush, fork_before, fork_child, fork_parent, shutdown, stats,
    };
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
