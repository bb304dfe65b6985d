//! The command `check` on a live database: what it prints, what it advises, and that the advice is worth following.

use super::{COLLECTIONS, LARGE_BUDGET, Large, SMALL_BUDGET, Shop};
use crate::support::Directory;
use crate::support::bridge::command;
use crate::support::database::PASSWORD;
use crate::support::eventually;

/// What a check prints, and its exit code.
pub fn check(config: &str) -> (String, Option<i32>) {
    let directory = Directory::new("check");
    let file = directory.write("bridge.yml", config);
    let output = command().arg("check").arg("--config.file").arg(file).output().unwrap();
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!printed.contains(PASSWORD), "{printed}");
    (printed, output.status.code())
}

/// The statements that a check advises.
pub fn advised(printed: &str) -> Vec<&str> {
    let remedies = printed.lines().filter_map(|line| line.trim().strip_prefix("remedy: "));
    remedies.filter(|remedy| remedy.starts_with("CREATE INDEX ")).collect()
}

/// Every documented figure stands there with how it was come by, its cost and its age.
#[track_caller]
pub fn tells_every_figure(printed: &str) {
    let records = COLLECTIONS.map(|collection| format!("linkit.store.records{{collection=\"{collection}\"}}"));
    let items = ["pending", "processing"].map(|state| format!("linkit.staging.items{{state=\"{state}\"}}"));
    let others = ["linkit.staging.completed_today".to_owned(), "linkit.staging.completed ".to_owned()];
    for name in records.iter().chain(&items).chain(&others) {
        let line = printed.lines().find(|line| line.trim_start().starts_with(name.as_str()));
        let line = line.unwrap_or_else(|| panic!("no {name} in {printed}"));
        assert!(line.contains("cost ") && line.contains(", age "), "{line}");
        assert!(!name.contains("records") || ["exact", "estimate"].iter().any(|how| line.contains(how)), "{line}");
    }
}

pub async fn the_advised_indexes_end_the_complaint<D: Large>(shop: &Shop<D>) {
    shop.database.sql(D::WITHOUT_INDEXES);
    let (printed, code) = check(&shop.config(LARGE_BUDGET, LARGE_BUDGET));
    assert_eq!(code, Some(0), "{printed}");
    tells_every_figure(&printed);
    assert!(printed.contains("table staging: took "), "{printed}");
    assert!(!printed.contains("raise count_budget"), "all was counted within it: {printed}");
    assert!(printed.lines().any(|line| line.contains("plan: ") && line.contains(D::READS_ALL)), "{printed}");
    let indexes = advised(&printed);
    assert!(!indexes.is_empty(), "{printed}");
    for index in indexes {
        shop.database.sql(index);
    }
    let content = || async {
        let (printed, code) = check(&shop.config(SMALL_BUDGET, ""));
        assert_eq!(code, Some(0), "{printed}");
        tells_every_figure(&printed);
        assert_eq!(advised(&printed), [""; 0], "{printed}");
        // A machine at work may be slow once.
        (!printed.contains("table staging: ")).then_some(())
    };
    eventually("a check without a complaint", content).await;
}

pub async fn a_refusal_says_why_and_no_secret<D: Large>(mut shop: Shop<D>) {
    const WRONG: &str = "wrong-password-0123456789";
    let config = shop.config(SMALL_BUDGET, "");
    let right = std::fs::read_to_string(shop.directory.path().join("password")).unwrap();
    shop.directory.write("password", WRONG);
    let (printed, code) = check(&config);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("FAILED (unauthorized): ") && !printed.contains(WRONG), "{printed}");
    shop.directory.write("password", &right);
    shop.database.stop().await;
    let (printed, code) = check(&config);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("FAILED (unreachable): "), "{printed}");
}
