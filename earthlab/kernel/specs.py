"""Which kernels JupyterLab offers: "EarthLab" in place of the bare Python that comes along, and the user's own."""

from jupyter_client.kernelspec import KernelSpecManager

NAME = "earthlab"


class LabKernelSpecs(KernelSpecManager):
    """Finds kernels as Jupyter does, and hides the bare ``python3`` that lies beside ours."""

    def find_kernel_specs(self) -> dict[str, str]:
        """The folders of the kernels on offer, by name."""
        found: dict[str, str] = super().find_kernel_specs()
        if NAME in found:
            found.pop("python3", None)
        return found
