//! The embedded Postgres under everything a machine, a user and an attacker do to it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use migrations::test_database::TestHome;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

use crate::program::{Program, assert_stops_cleanly, data, eventually, server_pid};

/// Set in the run as a normal user, which must not start another one.
const AS_NORMAL_USER: &str = "COUNTERSIGN_SCENE_AS_NORMAL_USER";

#[test]
fn programs_share_one_server_and_the_last_one_to_end_stops_it() {
    let home = TestHome::new();
    let (mut one, how) = Program::start(home.path());
    assert_eq!(how, "cold");
    one.owner_sql("create table public.kept as select 'sugar' as name");
    let (mut other, how) = Program::start(home.path());
    assert_eq!(how, "joined");
    assert_eq!(
        other.pool_sql("select current_user::text"),
        "countersign_shop"
    );

    one.finish();
    assert_eq!(other.owner_sql("select name from public.kept"), "sugar");
    other.finish();
    assert_stops_cleanly(home.path());

    let (mut later, how) = Program::start(home.path());
    assert_eq!(how, "warm");
    assert_eq!(later.owner_sql("select name from public.kept"), "sugar");
    assert_eq!(later.owner_sql("show fsync"), "on");
    assert_eq!(later.owner_sql("show data_checksums"), "on");
    assert_eq!(later.owner_sql("show listen_addresses"), "");
    later.finish();
    assert_stops_cleanly(home.path());
}

#[test]
fn ctrl_c_and_kill_9_leave_no_server_behind() {
    let home = TestHome::new();
    let (interrupted, _) = Program::start(home.path());
    interrupted.interrupt();
    assert_stops_cleanly(home.path());

    let (killed, how) = Program::start(home.path());
    assert_eq!(how, "warm");
    killed.kill();
    assert_stops_cleanly(home.path());
}

#[test]
fn killed_while_making_the_cluster_the_next_start_makes_it_again() {
    let home = TestHome::new();
    let program = Program::spawn(home.path());
    program.wait_for("progress Making the database");
    program.kill();
    let (program, how) = Program::start(home.path());
    assert_eq!(how, "cold");
    program.finish();
    assert_stops_cleanly(home.path());
    let rests: Vec<_> = fs::read_dir(home.path().join("postgres"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("data.new"))
        .collect();
    assert_eq!(rests, Vec::<String>::new());
}

#[test]
fn programs_that_make_the_first_start_together_all_get_it() {
    let home = TestHome::new();
    let programs: Vec<Program> = (0..4).map(|_| Program::spawn(home.path())).collect();
    let mut how: Vec<String> = programs.iter().map(Program::opened).collect();
    how.sort();
    assert_eq!(how, ["cold", "joined", "joined", "joined"]);
    for program in programs {
        program.finish();
    }
    assert_stops_cleanly(home.path());
}

#[test]
fn a_program_that_arrives_while_the_last_one_leaves_keeps_its_server() {
    let home = TestHome::new();
    let (mut leaving, _) = Program::start(home.path());
    for _ in 0..8 {
        let arriving = Program::spawn(home.path());
        leaving.kill();
        arriving.opened();
        leaving = arriving;
        assert_eq!(leaving.owner_sql("select 'here'"), "here");
    }
    // Not even afterwards: a guard that still meant to stop it would have had time to.
    let pid = server_pid(home.path());
    for _ in 0..20 {
        assert_eq!(leaving.owner_sql("select pg_sleep(0.1)::text"), "");
    }
    assert_eq!(server_pid(home.path()), pid);
    leaving.finish();
    assert_stops_cleanly(home.path());
}

#[test]
fn a_stale_pid_file_names_nobody_we_would_wait_for_or_signal() {
    let home = TestHome::new();
    let (program, _) = Program::start(home.path());
    let pid_file = data(home.path()).join("postmaster.pid");
    let left_by_server = fs::read_to_string(&pid_file).unwrap();
    let (_, rest) = left_by_server.split_once('\n').unwrap();
    program.finish();
    assert_stops_cleanly(home.path());

    // The worst case is a living process of the very user the server runs as.
    let owner = fs::metadata(data(home.path())).unwrap();
    let mut bystander = Command::new("sleep");
    if geteuid().is_root() {
        bystander.uid(owner.uid()).gid(owner.gid());
    }
    let mut bystander = bystander.arg("300").current_dir("/").spawn().unwrap();
    for stale in ["1", &bystander.id().to_string(), "2147483646", "nonsense"] {
        fs::write(&pid_file, format!("{stale}\n{rest}")).unwrap();
        chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();
        let (mut program, how) = Program::start(home.path());
        assert_eq!(how, "warm", "{stale}");
        assert_eq!(program.owner_sql("select 'here'"), "here", "{stale}");
        program.kill();
        assert_stops_cleanly(home.path());
    }
    // Killed before a server was there: its guard finds the file and must not believe it either.
    fs::write(&pid_file, format!("{}\n{rest}", bystander.id())).unwrap();
    chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();
    let program = Program::spawn(home.path());
    program.wait_for("progress Starting Postgres");
    program.kill();
    let (program, _) = Program::start(home.path());
    program.finish();
    assert_stops_cleanly(home.path());
    assert!(
        bystander.try_wait().unwrap().is_none(),
        "the bystander was hit"
    );
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_server_or_guard_that_is_killed_comes_back_without_a_restart() {
    let home = TestHome::new();
    let (mut program, _) = Program::start(home.path());
    let first = server_pid(home.path()).unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    // Its workers live a moment longer and may still answer.
    eventually("there is another server", || {
        server_pid(home.path()).is_some_and(|now| now != first)
    });
    eventually("the pool works again", || {
        program.pool_sql("select 'here'") == "here"
    });
    let second = server_pid(home.path()).unwrap();

    let guard = guard_pid(home.path()).unwrap();
    kill(guard, Signal::SIGKILL).unwrap();
    eventually("a new guard is posted", || {
        guard_pid(home.path()).is_some_and(|now| now != guard)
    });
    assert_eq!(
        server_pid(home.path()),
        Some(second),
        "the server itself stays"
    );
    assert_eq!(program.pool_sql("select 'here'"), "here");
    program.kill();
    assert_stops_cleanly(home.path());
}

#[test]
fn a_long_and_odd_home_path_works_and_an_impossible_one_says_so() {
    let home = TestHome::new();
    let long: PathBuf = (0..6).fold(home.path().to_path_buf(), |path, _| {
        path.join(format!(
            "Ama's 100% \"$HOME\", ünï & `co` {}",
            "a".repeat(80)
        ))
    });
    let (mut program, _) = Program::start(&long);
    let socket_dir = program.socket_dir();
    program.finish();
    assert_stops_cleanly(&long);
    fs::remove_dir_all(socket_dir).unwrap();
    let impossible = long.join("b".repeat(200));
    let sentence = Program::spawn(&impossible).refused();
    assert!(sentence.contains("too long for Postgres"), "{sentence}");
    assert!(!impossible.exists());
}

#[test]
fn folders_that_are_not_ours_are_left_alone() {
    for (name, path) in [
        ("somebody's cluster in the home itself", "PG_VERSION"),
        (
            "somebody's cluster in place of ours",
            "postgres/data/PG_VERSION",
        ),
        ("somebody's files in place of ours", "postgres/letters.txt"),
    ] {
        let home = TestHome::new();
        let file = home.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "15\n").unwrap();
        let before = fs::metadata(file.parent().unwrap()).unwrap();

        let sentence = Program::spawn(home.path()).refused();
        assert!(sentence.contains("did not make"), "{name}: {sentence}");
        assert!(sentence.contains("COUNTERSIGN_HOME"), "{name}: {sentence}");
        let after = fs::metadata(file.parent().unwrap()).unwrap();
        assert_eq!(before.uid(), after.uid(), "{name}");
        assert_eq!(before.mode(), after.mode(), "{name}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "15\n", "{name}");
    }
}

#[test]
fn data_of_another_major_version_is_named_and_kept() {
    let home = TestHome::new();
    let (program, _) = Program::start(home.path());
    program.finish();
    assert_stops_cleanly(home.path());
    for other in ["14", "99"] {
        fs::write(data(home.path()).join("PG_VERSION"), other).unwrap();
        let sentence = Program::spawn(home.path()).refused();
        assert!(
            sentence.contains(&format!("made by Postgres {other}")),
            "{sentence}"
        );
        assert!(sentence.contains("install Postgres"), "{sentence}");
    }
}

#[test]
fn a_full_disk_is_one_sentence_and_no_ruin() {
    // No file may grow beyond 4 MiB: the same error paths as a disk without space, for any user.
    let limit = "ulimit -f 8192";
    let home = TestHome::new();
    let sentence = Program::spawn_with(&mut Program::command_after(home.path(), limit)).refused();
    assert!(sentence.contains("is full: free some space"), "{sentence}");
    // With space again, the first start is as it would have been.
    let (program, how) = Program::start(home.path());
    assert_eq!(how, "cold");
    program.finish();
    assert_stops_cleanly(home.path());
}

#[test]
fn a_folder_that_cannot_be_written_is_one_sentence() {
    let place = TestHome::new();
    let closed = if geteuid().is_root() {
        // Root may write anywhere but here.
        PathBuf::from("/sys")
    } else {
        fs::create_dir(place.path()).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
        place.path().to_path_buf()
    };
    let sentence = Program::spawn(&closed.join("countersign")).refused();
    assert!(sentence.contains("cannot be written"), "{sentence}");
    assert!(sentence.contains("COUNTERSIGN_HOME"), "{sentence}");
}

#[test]
fn a_socket_folder_somebody_else_could_have_made_is_refused() {
    let home = TestHome::new();
    let (mut program, _) = Program::start(home.path());
    let socket_dir = program.socket_dir();
    program.finish();
    assert_stops_cleanly(home.path());
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&socket_dir), 0o700);
    assert!(socket_dir.join(".s.PGSQL.5432").as_os_str().len() <= 107);

    fs::set_permissions(&socket_dir, fs::Permissions::from_mode(0o777)).unwrap();
    let sentence = Program::spawn(home.path()).refused();
    assert!(sentence.contains("cannot be trusted"), "{sentence}");

    fs::remove_dir(&socket_dir).unwrap();
    symlink(home.path(), &socket_dir).unwrap();
    let sentence = Program::spawn(home.path()).refused();
    assert!(sentence.contains("cannot be trusted"), "{sentence}");
    fs::remove_file(&socket_dir).unwrap();

    let (program, _) = Program::start(home.path());
    program.finish();
    assert_stops_cleanly(home.path());
}

#[test]
fn a_home_in_roots_own_folder_is_one_sentence() {
    if !geteuid().is_root() {
        return; // Only root has to become another user.
    }
    let place = TestHome::new();
    fs::create_dir(place.path()).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let sentence = Program::spawn(&place.path().join("home")).refused();
    assert!(sentence.contains("cannot reach"), "{sentence}");
    assert!(sentence.contains("/var/lib/countersign"), "{sentence}");
    assert_eq!(
        fs::metadata(place.path()).unwrap().mode() & 0o777,
        0o700,
        "never opened by us"
    );
}

#[test]
fn root_works_on_a_normal_users_data_as_that_user() {
    let Some(nobody) = User::from_name("nobody")
        .unwrap()
        .filter(|_| geteuid().is_root())
    else {
        return; // Only root can be two users.
    };
    let home = TestHome::new();
    fs::create_dir(home.path()).unwrap();
    chown(
        home.path(),
        Some(nobody.uid.as_raw()),
        Some(nobody.gid.as_raw()),
    )
    .unwrap();
    let executable = PublicCopy::new();
    let as_nobody = || Program::spawn_with(&mut executable.program(home.path(), &nobody));
    let theirs = as_nobody();
    assert_eq!(theirs.opened(), "cold");
    let (roots, how) = Program::start(home.path());
    assert_eq!(how, "joined");
    theirs.finish();
    roots.finish();
    assert_stops_cleanly(home.path());

    let (roots, how) = Program::start(home.path());
    assert_eq!(how, "warm");
    roots.finish();
    assert_stops_cleanly(home.path());
    let theirs = as_nobody();
    assert_eq!(theirs.opened(), "warm", "root took nothing away from them");
    theirs.finish();
    assert_stops_cleanly(home.path());
}

#[test]
fn a_home_of_another_user_is_one_sentence() {
    if !geteuid().is_root() {
        return; // Only root can make something another user's.
    }
    let home = TestHome::new();
    let (program, _) = Program::start(home.path());
    program.finish();
    assert_stops_cleanly(home.path());
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let executable = PublicCopy::new();
    let sentence = Program::spawn_with(&mut executable.program(home.path(), &nobody)).refused();
    assert!(sentence.contains("belongs to another user"), "{sentence}");
}

/// Everything above once more as a normal user, when the tests are run by root.
#[test]
fn all_of_this_holds_for_a_normal_user() {
    if !geteuid().is_root() || std::env::var_os(AS_NORMAL_USER).is_some() {
        return;
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let executable = PublicCopy::new();
    let output = Command::new(&executable.path)
        .args(["embedded::", "--test-threads=2"])
        .env(AS_NORMAL_USER, "1")
        .current_dir("/")
        .uid(nobody.uid.as_raw())
        .gid(nobody.gid.as_raw())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(" 0 passed"), "{said}");
}

/// The process that waits to stop the server of this home.
fn guard_pid(home: &Path) -> Option<Pid> {
    let data = data(home).into_os_string().into_encoded_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            words.contains(&b"countersign-guard".as_slice()) && words.contains(&data.as_slice())
        })
        .map(Pid::from_raw)
}

/// This test binary where every user can run it, wherever the checkout is.
struct PublicCopy {
    path: PathBuf,
}

impl PublicCopy {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!(
            "countersign-scenes-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path }
    }

    /// A program run by that user.
    fn program(&self, home: &Path, user: &User) -> Command {
        let ours = Program::command(home);
        let mut theirs = Command::new(&self.path);
        theirs
            .args(ours.get_args())
            .envs(
                ours.get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .uid(user.uid.as_raw())
            .gid(user.gid.as_raw());
        theirs
    }
}

impl Drop for PublicCopy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
