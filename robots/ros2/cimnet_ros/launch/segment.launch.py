"""ros2 launch cimnet_ros segment.launch.py checkpoint:=/path/run rgb:=/camera/image_raw thermal:=/thermal/image_raw"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """One node, with the package's settings and the arguments of the command line."""
    settings = PathJoinSubstitution([FindPackageShare("cimnet_ros"), "config", "segment.yaml"])
    return LaunchDescription(
        [
            DeclareLaunchArgument("checkpoint", description="Run folder, .safetensors or exported file."),
            DeclareLaunchArgument("rgb", default_value="/camera/image_raw", description="Topic of the RGB images."),
            DeclareLaunchArgument(
                "thermal", default_value="/thermal/image_raw", description="Topic of the thermal images."
            ),
            DeclareLaunchArgument("config", default_value=settings, description="Parameters as YAML."),
            Node(
                package="cimnet_ros",
                executable="segment",
                name="cimnet",
                output="screen",
                parameters=[
                    LaunchConfiguration("config"),
                    {
                        "checkpoint": LaunchConfiguration("checkpoint"),
                        "rgb_topic": LaunchConfiguration("rgb"),
                        "thermal_topic": LaunchConfiguration("thermal"),
                    },
                ],
            ),
        ]
    )
