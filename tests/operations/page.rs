//! The live page as a person sees it.

use hyper::StatusCode;

use crate::{
    admin::{working, world},
    browser::Browser,
    client::post,
    harness::{Books, Producer, Stream, wait_until},
};

/// A desk, a phone; by day and by night.
const SCREENS: [(&str, u32, u32, &str); 4] = [
    ("light", 1280, 1400, "light"),
    ("dark", 1280, 1400, "dark"),
    ("phone", 360, 2600, "light"),
    ("phone-dark", 360, 2600, "dark"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_the_worker_does() {
    let Some(mut browser) = Browser::start() else { return };
    let (world, admin) = world("127.0.0.1", "").await;
    let stream = Stream::create(&world.aws, 3).await;
    let mut books = Books::default();
    let mut producer = Producer::new(&stream);
    let daemon = working(&world, admin, 3).await;
    producer.put(&mut books, 60).await;
    stream.split().await;
    world.settled(&books).await;

    let url = format!("http://{admin}/");
    for (name, width, height, scheme) in SCREENS {
        browser.screen(width, height, scheme);
        browser.open(&url);
        wait_until("the page shows the shards after the split", async || {
            browser.value("document.body?.dataset.rendered") == "yes"
                && browser.value("document.querySelectorAll('table.shards tbody tr').length") == 4
                && browser.text("#shards").matches("at the tip").count() == 4
        })
        .await;
        assert_eq!(browser.text("#state"), "running");
        assert_eq!(browser.text("#application"), "servers-test");
        assert_eq!(browser.text("#alerts"), "", "nothing is wrong");
        let shards = browser.text("#shards");
        for shard in ["shard 1", "shard 2", "shard 3", "shard 4"] {
            assert!(shards.contains(shard), "{shard} is not in {shards}");
        }
        let news = browser.text("#news");
        assert!(news.contains("took") && news.contains("it had no owner"), "{news}");
        assert!(news.contains("ended") && news.contains("2 children follow"), "{news}");
        let letters = browser.text("#letters");
        assert!(letters.contains("decode") && letters.contains("×"), "{letters}");
        assert!(browser.text("#outcomes").contains("delivered"));
        assert!(browser.text("#sinks").contains("parked"));
        // Nothing sticks out: a phone need not scroll sideways.
        let over = browser.value("document.documentElement.scrollWidth - innerWidth");
        assert!(over.as_i64().unwrap() <= 0, "{name}: {over} pixels too wide");
        let light = browser.value(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) > 384",
        );
        assert_eq!(light, scheme == "light", "{name}");
        browser.picture(name);
    }

    assert_eq!(post(admin, "/pause", &[]).await.unwrap().status, StatusCode::OK);
    wait_until("the page follows without being loaded again", async || {
        browser.text("#alerts").contains("Reading is paused") && browser.text("#state") == "paused"
    })
    .await;
    browser.picture("paused");
    daemon.drain().await;
    wait_until("the page says that its worker is gone", async || {
        browser.text("#alerts").contains("This worker does not answer")
    })
    .await;
    assert!(browser.requests.iter().all(|asked| asked.starts_with(&url)), "{:?}", browser.requests);
    // Chromium notes each request that nobody answered; all else is a mistake of ours.
    let gone = |problem: &String| problem.contains("ERR_CONNECTION_REFUSED");
    let problems: Vec<_> = browser.problems.iter().filter(|problem| !gone(problem)).collect();
    assert!(problems.is_empty(), "{problems:?}");
}
