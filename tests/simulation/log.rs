//! Lines at the level ERROR: each of them calls for a human, so a simulation expects none.

use std::{
    cell::RefCell,
    fmt::{self, Write},
    sync::Once,
};

use tracing::{Event, Level, Subscriber, field::Field};
use tracing_subscriber::{
    Layer, filter::LevelFilter, layer::Context, prelude::*, registry::LookupSpan,
};

thread_local! {
    /// A simulation stays on its thread.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static INSTALLED: Once = Once::new();

/// Listens to the log. With `print` everything is printed as well.
pub(crate) fn listen(print: bool) {
    INSTALLED.call_once(|| {
        let level = if print { LevelFilter::DEBUG } else { LevelFilter::ERROR };
        let printed =
            print.then(|| tracing_subscriber::fmt::layer().with_test_writer().without_time());
        tracing_subscriber::registry().with(level).with(Errors).with(printed).init();
    });
}

/// The errors that were logged on this thread since the last call.
pub(crate) fn errors() -> Vec<String> {
    SEEN.take()
}

struct Errors;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut line = String::new();
            event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
                let _ = write!(line, "{field}={value:?} ");
            });
            SEEN.with_borrow_mut(|seen| seen.push(line));
        }
    }
}
