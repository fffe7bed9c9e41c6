//! The byte budget, when records become larger than anybody could expect.

use std::time::Duration;

use tokio::time::sleep;

use crate::{calm::Calm, fleet::Setup, schedule::simulate};

#[test]
fn records_that_grow_stay_within_the_budget() {
    for seed in 0..5 {
        simulate(async {
            let mut setup = Setup::new(seed);
            setup.budget = 300 << 10;
            let mut calm = Calm::new(setup, 4, None);
            calm.settled(1).await;
            (0..100).for_each(|_| calm.put_everywhere());
            sleep(Duration::from_secs(10)).await;
            calm.hang_sinks(0, Duration::from_secs(30));
            let before = calm.fleet.bytes_read();
            calm.world.lock().stream.ballast = 10 << 10;
            (0..50).for_each(|_| calm.put_everywhere());
            sleep(Duration::from_secs(25)).await;
            let held = calm.fleet.bytes_read() - before;
            assert!(held > setup.budget / 4, "it holds {held} bytes");
            assert!(held <= setup.budget, "it holds {held} bytes");
            calm.finish().await;
        });
    }
}
