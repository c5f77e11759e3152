"""A Slurm with two nodes on this machine, for tests, beside whatever is there: nothing of it lies outside its folder.

Programs find it through SLURM_CONF. submitit drops the variables of Slurm before it calls one, so that the programs
called are wrappers in ``bin`` that set it.
"""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CLIENTS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
PROGRAMS = ("munged", "slurmctld", "slurmd", "setpriv", "sacct", *CLIENTS)
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"
CONFIGURATION = Path("/etc/slurm/slurm.conf")
PATIENCE = 30  # seconds for daemons to come up, and for jobs to end

# Tells what submitit asks sacct for from what the controller remembers, as there is no accounting.
SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
for word in "$@"; do
    if [ "$before" = -j ]; then
        scontrol --oneliner show job "$word" 2>/dev/null |
            sed -E 's/.*JobId=([0-9]+).*JobState=([A-Z_]+).* NodeList=([^ ]*).*/\\1|\\2|\\3/'
    fi
    before=$word
done
"""

NODES = {"n1": 1, "n2": 1}  # CPUs by name


def missing() -> str:
    """Why there can be no such Slurm here, or nothing."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=SYSTEM) is None]
    if absent:
        return f"no {', '.join(absent)} (Debian: slurmctld, slurmd, slurm-client, munge)"
    if CONFIGURATION.exists():
        return f"{CONFIGURATION} is there: a Slurm of this machine's own is left alone"
    return ""


class OwnSlurm:
    """Up from :meth:`start` to :meth:`stop`, or until this process ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: it holds a socket
        self.folder.chmod(0o755)  # munge wants its socket to be reachable
        self.bin = self.folder / "bin"
        self.conf = self.folder / "slurm.conf"
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons; RuntimeError with their logs if they do not come up."""
        self._write()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        options = [f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in files.items()]
        self._daemon("munged", "--foreground", f"--key-file={key}", *options)
        self._wait("munge", files["socket"].exists)
        self._daemon("slurmctld", "-D", "-f", str(self.conf))
        for node in NODES:
            self._daemon("slurmd", "-D", "-f", str(self.conf), "-N", node)
        self._wait("Slurm", lambda: self.call("sinfo", "--noheader", "--states=idle", "--format=%D") == str(len(NODES)))

    def stop(self) -> None:
        """End all jobs, then the daemons."""
        if self.conf.exists():
            self.call("scancel", "--partition=main")
            self._settle()
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            daemon.wait()
        shutil.rmtree(self.folder)

    def call(self, program: str, *arguments: str) -> str:
        """What one of Slurm's programs prints."""
        done = subprocess.run([self.bin / program, *arguments], capture_output=True, text=True)
        return done.stdout.strip()

    def path(self) -> str:
        """The PATH on which Slurm's programs are found."""
        return f"{self.bin}:{os.environ['PATH']}"

    def _write(self) -> None:
        self.bin.mkdir()
        for program in CLIENTS:
            real = shutil.which(program, path=SYSTEM)
            self._script(program, f'#!/bin/sh\nSLURM_CONF={self.conf} exec {real} "$@"\n')
        self._script("sacct", SACCT)
        self.conf.write_text("\n".join(self._settings()) + "\n")

    def _script(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def _settings(self) -> list[str]:
        host, user = platform.node().partition(".")[0], getpass.getuser()
        controller, *ports = free_ports(1 + len(NODES))
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmUser={user}",
            f"SlurmdUser={user}",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/munge.socket",
            f"StateSaveLocation={self.folder}/state",
            f"SlurmdSpoolDir={self.folder}/%n",
            f"SlurmctldPidFile={self.folder}/slurmctld.pid",
            f"SlurmdPidFile={self.folder}/slurmd-%n.pid",
            f"SlurmctldLogFile={self.folder}/slurmctld.log",
            f"SlurmdLogFile={self.folder}/slurmd-%n.log",
            f"SlurmctldPort={controller}",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/none",
            "AccountingStorageType=accounting_storage/none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core",
            "MpiDefault=none",
            "SwitchType=switch/none",
            "KillWait=2",
            "MinJobAge=600",
        ]
        for (node, cpus), port in zip(NODES.items(), ports, strict=True):
            address = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
            lines.append(f"NodeName={node} {address} CPUs={cpus} RealMemory=2000")
        lines.append("PartitionName=main Nodes=ALL Default=YES State=UP")
        return lines

    def _daemon(self, program: str, *arguments: str) -> None:
        """Start it; it ends with this process, however that ends."""
        log = open(self.folder / f"{program}.out", "ab")  # noqa: SIM115 - the daemon's from now on
        real = shutil.which(program, path=SYSTEM)
        assert real is not None
        command = ["setpriv", "--pdeathsig", "TERM", real, *arguments]
        self.daemons.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        log.close()

    def _settle(self) -> None:
        try:
            self._wait("the queue", lambda: self.call("squeue", "--noheader") == "")
        except RuntimeError as error:
            print(error)

    def _wait(self, what: str, up: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not up():
            if time.monotonic() > end:
                logs = [f"{path}\n{path.read_text(errors='replace')[-2000:]}" for path in self.folder.glob("*.log")]
                raise RuntimeError("\n".join([f"{what} did not get ready in {PATIENCE} s", *logs]))
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment, each once."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
