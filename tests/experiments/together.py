"""Real processes that train one run, for tests: `with Together(2, workdir, "--config=...") as run: ...`."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 10  # seconds after which a process that is not heard of ends the others


class Together:
    """Processes of one command, each with its own virtual devices; ended when the block is left."""

    def __init__(self, num, workdir, *flags, module="experiments.train", devices=2, slurm=False):
        """Start them.

        Args:
            num: how many.
            workdir: of the run; what each says goes to files beside it.
            *flags: of the command.
            module: the command.
            devices: of each process.
            slurm: tell them who they are as SLURM does, and not by flags.
        """
        port = _free_port()
        self.logs = [Path(f"{workdir}_{index}_of_{num}.log") for index in range(num)]
        self.processes = []
        for index, log in enumerate(self.logs):
            with log.open("wb") as file:
                told = [f"--num_processes={num}", f"--process_id={index}", f"--coordinator=localhost:{port}"]
                command = [sys.executable, "-m", module, f"--workdir={workdir}", f"--process_timeout={TIMEOUT}", *flags]
                environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
                if slurm:
                    # JAX makes a port of the job's number.
                    names = ("JOB_ID", "STEP_NODELIST", "NTASKS", "PROCID", "LOCALID")
                    values = (port, "localhost", num, index, index)
                    environment |= {f"SLURM_{name}": str(value) for name, value in zip(names, values, strict=True)}
                self.processes.append(
                    subprocess.Popen(
                        command if slurm else command + told,
                        cwd=ROOT,
                        env=environment,
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.wait()

    def wait(self, timeout=300):
        """Wait until all have ended; give their exit codes."""
        return [process.wait(timeout) for process in self.processes]

    def said(self, index):
        """Give what a process has printed."""
        return self.logs[index].read_text(errors="replace")

    def until(self, happened, timeout=200):
        """Wait until something is true, and no process has ended before."""
        end = time.monotonic() + timeout
        while not happened():
            codes = [process.poll() for process in self.processes]
            assert codes == [None] * len(codes), (codes, self.said(0)[-3000:])
            assert time.monotonic() < end, self.said(0)[-3000:]
            time.sleep(0.1)


def _free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]
