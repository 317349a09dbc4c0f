//! The unit of systemd and the container file name what there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod phone;

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use denwa_interop::{PATIENCE, wait_until};
use phone::{folder, free_port};

fn deploy(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let folder = std::env::temp_dir().join(format!("pbx-unit-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let unit = folder.join("pbx.service");
    // The program stands where the tests built it.
    fs::write(&unit, deploy("pbx.service").replace("/usr/local/bin/pbx", env!("CARGO_BIN_EXE_pbx"))).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output();
    fs::remove_dir_all(&folder).unwrap();
    let Ok(output) = output else {
        eprintln!("systemd-analyze is not here: passed over");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("pbx.service")).collect();
    assert!(about_us.is_empty(), "{about_us:?}");
}

#[test]
fn the_container_file_builds_and_starts_this_program() {
    let text = deploy("Containerfile");
    assert!(text.contains("cargo build --release --locked -p pbx") && text.contains("target/release/pbx"));
    let command = text.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    let known = Command::new(env!("CARGO_BIN_EXE_pbx")).args(&command).arg("--help").output().unwrap();
    assert!(known.status.success(), "{command:?}");
    assert!(text.contains("USER 5060:5060"), "it does not run as root");
}

/// What a container holds, in a folder.
fn tree(name: &str) -> PathBuf {
    let folder = folder(name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/tree");
    let made = Command::new("sh")
        .arg(script)
        .arg(folder.join("tree"))
        .arg(env!("CARGO_BIN_EXE_pbx"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    folder
}

/// The exchange among nothing but what its container holds, as its container's user: it starts, is asked how it is, and ends.
#[test]
fn what_a_container_holds_is_enough_to_run() {
    let folder = tree("container");
    let root = folder.join("tree");
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg("--userspec=5060:5060").arg(&root).arg("/usr/local/bin/pbx").args(arguments);
        command
    };
    if chown(root.join("var/lib/pbx"), Some(5060), Some(5060)).is_err()
        || !inside(&["--version"]).output().unwrap().status.success()
    {
        eprintln!("this user may not change the root of a program: passed over");
        return fs::remove_dir_all(&folder).unwrap();
    }
    let file = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:{}\"]\n[store]\nurl = \"sqlite:/var/lib/pbx/pbx.db\"\n[control]\nsocket = \"/var/lib/pbx/pbx.sock\"\n",
        free_port()
    );
    fs::write(root.join("var/lib/pbx/pbx.toml"), file).unwrap();
    let file = ["--config", "/var/lib/pbx/pbx.toml"];
    let log = fs::File::create(folder.join("log")).unwrap();
    let mut running =
        inside(&[&file[..], &["run"]].concat()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let said = || fs::read_to_string(folder.join("log")).unwrap();
    let starts = wait_until(PATIENCE, || said().contains("Ctrl-C ends it"));
    // The health check.
    let healthy = starts
        && wait_until(PATIENCE, || {
            inside(&[&file[..], &["status"]].concat()).output().unwrap().status.success()
        });
    Command::new("kill").args(["-TERM", &running.id().to_string()]).status().unwrap();
    let ended = running.wait().unwrap();
    assert!(healthy && ended.success(), "{ended}: {}", said());
    fs::remove_dir_all(&folder).unwrap();
}

/// The last part of the container file by buildah, where that is installed and may build.
#[test]
fn buildah_makes_the_container_of_it() {
    if Command::new("buildah").arg("--version").output().is_err() {
        eprintln!("buildah is not here: passed over");
        return;
    }
    let folder = tree("buildah");
    let text = deploy("Containerfile");
    let last =
        text[text.find("FROM scratch").unwrap()..].replace("--from=build ", "").replace(" /tree", " tree");
    fs::write(folder.join("Containerfile"), last).unwrap();
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
        command.env("STORAGE_DRIVER", "vfs").env("BUILDAH_ISOLATION", "chroot");
        command.args(arguments).current_dir(&folder).output().unwrap()
    };
    let built = buildah(&["build", "--format", "docker", "-t", "pbx", "."]);
    if built.status.success() {
        let container = buildah(&["from", "pbx"]);
        let container = String::from_utf8(container.stdout).unwrap();
        let ran = buildah(&["run", container.trim(), "--", "/usr/local/bin/pbx", "--version"]);
        assert!(String::from_utf8_lossy(&ran.stdout).starts_with("pbx "), "{ran:?}");
        let facts = String::from_utf8(buildah(&["inspect", "--type", "image", "pbx"]).stdout).unwrap();
        let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
        assert_eq!(facts["Docker"]["config"]["User"], "5060:5060", "{facts:#}");
        buildah(&["rm", "--all"]);
    } else {
        eprintln!("buildah may not build here, passed over: {}", String::from_utf8_lossy(&built.stderr));
    }
    fs::remove_dir_all(&folder).unwrap();
}
