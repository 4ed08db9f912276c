from nagsdk.device.host_state import host_state


def write(root, **files):
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_what_the_kernel_shows_is_read(tmp_path):
    write(
        tmp_path,
        class__thermal__thermal_zone0__type="acpitz",
        class__thermal__thermal_zone0__temp=99000,
        class__thermal__thermal_zone1__type="x86_pkg_temp",
        class__thermal__thermal_zone1__temp=61500,
        class__hwmon__hwmon3__name="k10temp",
        class__hwmon__hwmon3__temp1_input=63250,
        class__hwmon__hwmon3__temp2_input=-273000,
        devices__system__cpu__cpu0__cpufreq__scaling_cur_freq=1800000,
        devices__system__cpu__cpu1__cpufreq__scaling_cur_freq=2400000,
        devices__system__cpu__cpu0__cpufreq__scaling_max_freq=1500000,
        devices__system__cpu__cpu0__cpufreq__cpuinfo_max_freq=3000000,
        devices__system__cpu__cpu1__cpufreq__scaling_max_freq="nonsense",
        devices__system__cpu__cpu1__cpufreq__cpuinfo_max_freq=3000000,
    )
    assert host_state(tmp_path) == {"hottest_c": 63.25, "frequency_mhz": 2400.0, "frequency_share": 0.5}


def test_a_machine_that_shows_nothing_is_no_error(tmp_path):
    assert host_state(tmp_path) == {}
