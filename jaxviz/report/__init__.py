"""Pictures out: colours, sheets, HTML pages. Takes arrays; knows no method and no model."""

# Pictures that move
from jaxviz.report.animation import gif_bytes as gif_bytes

# Numbers to colours
from jaxviz.report.colour import LabelColours as LabelColours
from jaxviz.report.colour import contrast as contrast
from jaxviz.report.colour import heat_colours as heat_colours
from jaxviz.report.colour import heat_fraction as heat_fraction
from jaxviz.report.colour import label_colours as label_colours
from jaxviz.report.colour import overlay as overlay
from jaxviz.report.colour import scale_limit as scale_limit
from jaxviz.report.colour import signed_colours as signed_colours
from jaxviz.report.colour import to_uint8 as to_uint8

# Curves
from jaxviz.report.curves import line_chart as line_chart

# The output folder
from jaxviz.report.folder import check_writable as check_writable
from jaxviz.report.folder import write_file as write_file
from jaxviz.report.folder import write_run as write_run

# Sheets
from jaxviz.report.grid import sheet as sheet
from jaxviz.report.grid import wrap_text as wrap_text

# Pages
from jaxviz.report.page import Figure as Figure
from jaxviz.report.page import Gallery as Gallery
from jaxviz.report.page import Legend as Legend
from jaxviz.report.page import Page as Page
from jaxviz.report.page import Picture as Picture
from jaxviz.report.page import Section as Section
from jaxviz.report.page import Table as Table
from jaxviz.report.page import file_stem as file_stem
from jaxviz.report.page import png_bytes as png_bytes
from jaxviz.report.page import render as render

# Sizes
from jaxviz.report.resample import enlarge as enlarge
from jaxviz.report.resample import window_cells as window_cells
