"""What cannot work is refused: one clear sentence, and an exit status that is not zero."""

import os
import shutil
import stat
import tempfile

from lab.names import SITE_A, SITE_B

from .case import MANUAL_CONFIGS, LabCase

NOBODY = 65534


class Refusals(LabCase):
    """One gateway runs, and others try to."""

    gateways = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway = cls.lab.add_gateway(SITE_A)
        cls.gateway.start()
        cls.gateway.wait_ready()

    def assert_refused(self, command, *words, role="gw-a"):
        """The command ends by itself with a non-zero status, and its last line has every one of `words`."""
        status, said = self.lab.complete("a command to be refused", command, role, timeout=30)
        self.assertNotIn(status, (0, None), said)
        self.assertGreater(status, 0, f"died of a signal: {said}")
        self.assertNotIn("panicked", said)
        last = said.strip().splitlines()[-1] if said.strip() else ""
        for word in words:
            self.assertIn(word, last, said)

    def test_socket_in_use(self):
        self.assert_refused(self.gateway.dataplane_command(), str(self.gateway.dataplane_socket))
        self.assertTrue(self.gateway.stats(), "the first one lives on")

    def test_second_control_plane(self):
        other = self.lab.folder / "second.sock"
        self.assert_refused(self.gateway.controlplane_command(control_socket=other), "control plane")
        self.assertTrue(self.gateway.associations(), "the first one lives on")

    def test_control_socket_in_use(self):
        self.assert_refused(self.gateway.controlplane_command(), "")

    def test_busy_core(self):
        command = self.gateway.dataplane_command(socket=self.lab.folder / "busy.sock", idle="busy")
        self.assert_refused(command, f"core {self.gateway.core}", "busy")

    def test_core_that_is_not_there(self):
        command = self.gateway.dataplane_command(socket=self.lab.folder / "far.sock", core=1000)
        self.assert_refused(command, "core 1000")

    def test_no_data_plane(self):
        command = self.gateway.controlplane_command(control_socket=self.lab.folder / "alone.sock")
        missing = self.lab.folder / "nothing.sock"
        command = [missing if word == self.gateway.dataplane_socket else word for word in command]
        self.assert_refused(command, str(missing))

    def test_no_root(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            for name, arguments in (
                ("espalier-dataplane", ("--socket", f"{folder}/x.sock", "--cores", str(self.gateway.core))),
                ("espalier-controlplane", ("--config", f"{folder}/gw-a.conf", "--control-socket", f"{folder}/y.sock")),
            ):
                with self.subTest(name):
                    copy = shutil.copy(self.lab.program(name), folder)
                    os.chmod(copy, os.stat(copy).st_mode | stat.S_IROTH | stat.S_IXOTH)
                    shutil.copy(MANUAL_CONFIGS / "gw-a.conf", folder)
                    os.chmod(f"{folder}/gw-a.conf", 0o644)
                    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
                    self.assert_refused([*drop, copy, *arguments], "root")

    def test_no_device(self):
        text = (MANUAL_CONFIGS / "gw-b.conf").read_text().replace("iface=veth-wan", "iface=not-there")
        self.assertIn("not-there", text)
        config = self.lab.folder / "no-device.conf"
        config.write_text(text)
        other = self.lab.add_gateway(SITE_B, config)
        other.start_dataplane()
        self.assert_refused(other.controlplane_command(), "not-there", role="gw-b")
        self.assertTrue(other.dataplane.running(), "the data plane waits for a better one")

    def test_broken_config(self):
        config = self.lab.folder / "broken.conf"
        config.write_text(self.gateway.config.read_text() + "\ncrypto isakmp policy 10\n")
        command = [
            self.lab.program("espalier-controlplane"), "--config", config,
            "--dataplane-socket", self.gateway.dataplane_socket, "--control-socket", self.lab.folder / "broken.sock",
        ]  # fmt: skip
        status, said = self.lab.complete("a broken configuration", command, "gw-a", timeout=30)
        self.assertGreater(status, 0, said)
        line = len(config.read_text().splitlines())
        self.assertIn(f"{config}:{line}", said)
        self.assertIn("isakmp", said)
