"""Lines of tegrastats, by the name of the form.

The real ones come from public test suites: DataDog/datadog-agent (jetson_test.go, Apache-2.0) and
henrygd/beszel (gpu_test.go, MIT). The constructed ones show forms of the documented grammar.
"""

from __future__ import annotations

REAL = {
    "Nano, JetPack 4, without root": (
        "RAM 613/3964MB (lfb 634x4MB) SWAP 0/1982MB (cached 0MB) CPU [2%@102,1%@102,0%@102,0%@102] "
        "EMC_FREQ 0% GR3D_FREQ 0% PLL@39C CPU@40.5C PMIC@100C GPU@41C AO@46C thermal@41C "
        "POM_5V_IN 900/943 POM_5V_GPU 0/0 POM_5V_CPU 123/123"
    ),
    "AGX Xavier, JetPack 4, cores off": (
        "RAM 4083/31919MB (lfb 6179x4MB) SWAP 0/15959MB (cached 0MB) "
        "CPU [0%@1190,0%@1190,0%@1190,1%@1190,off,off,off,off] EMC_FREQ 0% GR3D_FREQ 0% AO@42C "
        "GPU@42C Tdiode@44.75C PMIC@100C AUX@41.5C CPU@42C thermal@41.6C Tboard@41C GPU 0/16 "
        "CPU 310/432 SOC 931/953 CV 0/0 VDDRQ 466/488 SYS5V 1522/1559"
    ),
    "TX2, JetPack 4": (
        "RAM 3276/7859MB (lfb 5x4MB) SWAP 1626/12122MB (cached 181MB) "
        "CPU [44%@1421,49%@2031,67%@2034,17%@1420,25%@1419,8%@1420] EMC_FREQ 1%@1866 "
        "GR3D_FREQ 0%@114 APE 150 MTS fg 1% bg 1% PLL@42.5C MCPU@42.5C PMIC@50C Tboard@38C "
        "GPU@39.5C BCPU@42.5C thermal@41.3C Tdiode@39.25C VDD_SYS_GPU 182/182 VDD_SYS_SOC 730/730 "
        "VDD_4V0_WIFI 0/0 VDD_IN 5297/5297 VDD_SYS_CPU 1917/1917 VDD_SYS_DDR 1241/1241"
    ),
    "Orin Nano, JetPack 6, root": (
        "11-15-2024 08:38:09 RAM 6185/7620MB (lfb 8x2MB) SWAP 851/3810MB (cached 1MB) "
        "CPU [15%@729,11%@729,14%@729,13%@729,11%@729,8%@729] EMC_FREQ 43%@2133 "
        "GR3D_FREQ 63%@[621] NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 cpu@53.968C "
        "soc2@52.437C soc0@50.75C gpu@53.343C tj@53.968C soc1@51.656C VDD_IN 12479mW/12479mW "
        "VDD_CPU_GPU_CV 4667mW/4667mW VDD_SOC 2817mW/2817mW"
    ),
    "Orin Nano, JetPack 6, without root": (
        "06-18-2025 11:25:24 RAM 3452/7620MB (lfb 25x4MB) SWAP 1518/16384MB (cached 174MB) "
        "CPU [1%@1420,2%@1420,0%@1420,2%@1420,2%@729,1%@729] GR3D_FREQ 0% cpu@50.031C "
        "soc2@49.031C soc0@50C gpu@49.031C tj@50.25C soc1@50.25C VDD_IN 4824mW/4824mW "
        "VDD_CPU_GPU_CV 518mW/518mW VDD_SOC 1475mW/1475mW"
    ),
}
CONSTRUCTED = {
    "the oldest form, one clock for all cores": (
        "RAM 1903/3995MB (lfb 270x4MB) IRAM 0/252kB(lfb 252kB) CPU [12%,off,3%,7%]@1734 "
        "EMC_FREQ 7%@1600 GR3D_FREQ 12%@76"
    ),
    "several clocks of the GPU, unpowered zone, highest power": (
        "01-02-2025 03:04:05 RAM 2448/62841MB (lfb 4x256kB) SWAP 0/31420MB (cached 0MB) "
        "CPU [4%@2201,0%@2201,off] EMC_FREQ @665 GR3D_FREQ @[1300,1301] NVENC 716 VIC 435 "
        "cv0@-256C gpu@-5.5C/99C VDD_GPU_SOC 3200mW/3100mW/9000mW"
    ),
    "two rails of one name": "RAM 1/2MB CPU [1%] VDD 100mW/90mW VDD 250mW/200mW",
    "without any power": "RAM 1/2MB SWAP 0/1MB CPU [100%@1] GR3D_FREQ 99%@[918,918]",
}
