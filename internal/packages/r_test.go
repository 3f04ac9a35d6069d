package packages

import (
	"testing"
)

func TestR(t *testing.T) {
	helper := `
install_pairs <- function(title, libs) {
  print(paste("Installing", title))
  for (i in seq(1, length(libs), 2)) {
    name = libs[i]
    version = libs[i + 1]
    if (!name %in% rownames(installed.packages())) {
      devtools::install_version(name, version, quiet = TRUE)
    } else {
      print("there")
    }
  }
}
`
	for name, tc := range map[string]struct{ text, want, problems string }{
		"plain": {text: `# all of them
install.packages("a") # install.packages("no")
install.packages(c('b', "c"), repos = "https://cran.example.org")
suppressMessages(install.packages(pkgs = "d", dependencies = TRUE))
if (!require("e")) install.packages("e")
if (FALSE) install.packages("never")
pkgs <- c("f",
  "g"   # why
)
install.packages(pkgs[!(pkgs %in% rownames(installed.packages()))])
"h" -> one; install.packages(one)
utils::install.packages(paste0("gg", "plot2"))
install.packages("https://cran.example.org/src/contrib/Archive/sp/sp_1.4-4.tar.gz", repos = NULL)`, want: `
r a @install.R:2
r b @install.R:3
r c @install.R:3
r d @install.R:4
r e @install.R:5
r f @install.R:7
r g @install.R:8
r h @install.R:11
r ggplot2 @install.R:12
r sp @ https://cran.example.org/src/contrib/Archive/sp/sp_1.4-4.tar.gz@install.R:13`},
		"versions": {text: `
remotes::install_version("plm", "2.4-1")
devtools::install_version("sf", version = "1.0", repos = "x")
install_version(version = '2', package = "terra")
remotes::install_version("dplyr", ">= 1.0.0")
pak::pkg_install(c("tidyr@1.3.0", "r-lib/cli@v3.6.1", "bioc::limma", "any::glue", "zoo"))
renv::install("xts@0.13.1")`, want: `
r plm ==2.4-1@install.R:2
r sf ==1.0@install.R:3
r terra ==2@install.R:4
r dplyr >= 1.0.0@install.R:5
r tidyr ==1.3.0@install.R:6
r cli @ github::r-lib/cli@v3.6.1@install.R:6
r limma @install.R:6
r glue @install.R:6
r zoo @install.R:6
r xts ==0.13.1@install.R:7`},
		"repositories": {text: `
devtools::install_github('team/notes', ref = '36b4918', quiet = TRUE)
remotes::install_github(c("o/one@v1.2", "two=o/two/sub"))
remotes::install_gitlab("g/h")
remotes::install_git("https://user:key@git.example.org/x/tool.git", ref = "main")
BiocManager::install(c("DESeq2", "o/bio"), version = "3.18")
devtools::install(".")`, want: `
r notes @ github::team/notes@36b4918@install.R:2
r one @ github::o/one@v1.2@install.R:3
r two @ github::o/two/sub@install.R:3
r h @ gitlab::g/h@install.R:4
r tool @ https://git.example.org/x/tool.git@main@install.R:5
r DESeq2 @install.R:6
r bio @ github::o/bio@install.R:6`},
		"own function": {text: helper + `install_pairs("Econ 1", c("plm", "2.4.3",
  "car","3.0-10"))
`, want: "r plm ==2.4.3@install.R:14\nr car ==3.0-10@install.R:15"},
		"sourced": {text: `source("/tmp/helper.R")
class_libs = c("mfx", "1.2-2")
install_pairs("Econ 2", class_libs)
`, want: "r mfx ==1.2-2@install.R:2"},
		"function not there": {text: `source("/tmp/gone.R")
class_libs_install_version("Econ 3", c("psych", "2.2.9", "pacman", "0.5.1"))
class_libs_install_github("Econ 3", list("o/p", "abc1234"))
class_libs_install_version("Econ 3", libs)
`, want: `
r psych ==2.2.9@install.R:2
r pacman ==0.5.1@install.R:2
r p @ github::o/p@abc1234@install.R:3`, problems: "notice install.R:4 which packages class_libs_install_version installs is not known before the build"},
		"loops": {text: `
for (p in c("a", "b")) install.packages(p)
invisible(lapply(c("c", "d"), function(x) { if (!require(x)) install.packages(x) }))
sapply(c("e"), install.packages, repos = "x")
pairs <- list(c("f", "1.0"), list(name = "g", version = "2.0"))
for (x in pairs) { remotes::install_version(x[[1]], x[[2]]) }
versions <- c(h = "3.0", i = "4.0")
for (n in names(versions)) remotes::install_version(n, versions[[n]])
Map(remotes::install_version, c("j", "k"), c("5", "6"))
c("l", "m") |> install.packages()
do.call("install.packages", list("n"))
walk2(c("o"), c("7"), \(x, y) install_version(x, y))
for (p in readLines("/tmp/list.txt")) install.packages(p)
pacman::p_load(q, "r")`, want: `
r a @install.R:2
r b @install.R:2
r c @install.R:3
r d @install.R:3
r e @install.R:4
r f ==1.0@install.R:5
r g ==2.0@install.R:5
r h ==3.0@install.R:7
r i ==4.0@install.R:7
r j ==5@install.R:9
r k ==6@install.R:9
r l @install.R:10
r m @install.R:10
r n @install.R:11
r o ==7@install.R:12
r listed @list.txt:2
r q @install.R:14
r r @install.R:14`},
		"unsure": {text: `
install.packages(wanted)
install.packages("x y")
install.packages("kernel", version = "1.2")
install.packages("z"
remotes::install_github("ok/fine")`, want: "r kernel @install.R:4", problems: `
warning install.R:6 "remotes" is not expected here
notice install.R:2 which packages install.packages installs is not known before the build
warning install.R:3 "x y" is not the name of an R package
warning install.R:4 install.packages takes no version: it installs the newest`},
		"syntax": {text: "x <- r\"(install.packages('no'))\"; y = 'it\\'s'; `odd name` <- 1e-3\nf <- function(a, ...) a$b@c[[1]][2, ]\nif (x) {\n} else {\n  install.packages('a')\n}\nz <- !x && -1:3 %in% ~y\nrepeat break\nwhile (TRUE) next\n", want: "r a @install.R:5"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, files(map[string]string{"image/install.R": tc.text, "image/helper.R": helper, "image/list.txt": "# names\nlisted\n"}), "", tc.want, tc.problems)
		})
	}
}
