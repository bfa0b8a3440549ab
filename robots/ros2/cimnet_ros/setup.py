"""The ROS 2 package around cimnet, for colcon."""

from setuptools import setup

NAME = "cimnet_ros"

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", ["launch/segment.launch.py"]),
        (f"share/{NAME}/config", ["config/segment.yaml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The cimnet developers",
    maintainer_email="cimnet@users.noreply.github.com",
    description="RGB-thermal semantic segmentation with cimnet: two image topics in, masks out.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"segment = {NAME}.node:main"]},
)
